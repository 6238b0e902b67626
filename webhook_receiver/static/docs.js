// Shows the API's document. A key that is entered under "Authorize" stays in this page and is not kept.
SwaggerUIBundle({
  url: `${location.origin}/openapi.json`, // without the user and password that the address may hold: fetch refuses those
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null, // else the document would be sent to a stranger's server
  persistAuthorization: false,
});
