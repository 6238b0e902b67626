"""The bodies that Telmetrics documents: a number to be made, and a number to be changed.

From its pages "Automatic Number Assignment", "Call Verify", "Stop Call", "Whisper", "Call Scoring", "Auto-Reply",
"SMS-To-Chat", "SMS-To-Webhook", "SmartNumber Service" and "Number Replacement Rules" (versions 3 and 5 say the
same). Its pages write `basic` and `Basic`, `tollfree` and `Tollfree`: such words are compared without case and sent
as given.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, StrictBool, StrictStr, Tag, model_validator
from pydantic_core import PydanticCustomError

from worker.upstreams.telmetrics.fields import (
    CallRouteType,
    GroupId,
    Guid,
    KeyPress,
    Number,
    NumberFilter,
    Replaced,
    ShortReply,
    State,
    Text,
    WebUrl,
    word_in,
)

MISSING = "missing"
"""The type of an error that belongs to a field which is not there; the error's context names the field."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LocalToNumber(_Body):
    match_type: StrictStr
    local_to_number: Number
    number_match_filter: NumberFilter | None = None


class LocalToCity(_Body):
    """Not all cities map back to a local calling area, says the page: then nothing fits."""

    match_type: StrictStr
    city: Text
    state: State
    number_match_filter: NumberFilter | None = None


class TollFree(_Body):
    match_type: StrictStr
    number_match_filter: NumberFilter | None = None


PhoneNumberRequest = Annotated[
    Annotated[LocalToNumber, Tag("localtonumber")]
    | Annotated[LocalToCity, Tag("localtocity")]
    | Annotated[TollFree, Tag("tollfree")],
    Discriminator(word_in("match_type")),
]


class _Announced(_Body):
    """What somebody hears, as text that is read aloud or as a file: "required if the other is not supplied"."""

    enabled: StrictBool
    notification_text: Text | None = None
    notification_file: Guid | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.enabled and self.notification_text is None and self.notification_file is None:
            raise PydanticCustomError(
                MISSING, "is required where no notification_file is given", {"field": "notification_text"}
            )
        return self


class Whisper(_Announced):
    """Tells who answers where the call comes from."""


class StopCall(_Announced):
    """Callers hear this and are not put through."""


class CallVerify(_Announced):
    """Callers must press a key to be put through."""

    key_press: KeyPress | None = None

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if self.enabled and self.key_press is None:
            raise PydanticCustomError(MISSING, "is required: a number between 1 and 9", {"field": "key_press"})
        return self


class Transcription(_Body):
    transcript_enabled: StrictBool | None = None
    call_scoring_enabled: StrictBool | None = None


class CallRecord(_Body):
    enabled: StrictBool
    notification_text: Text | None = None
    notification_file: Guid | None = None
    require_confirmation: StrictBool | None = None
    record: StrictBool | None = None
    redaction_enabled: StrictBool | None = None
    transcription_settings: Transcription | None = None


class RouteFeatures(_Body):
    call_record: CallRecord | None = None
    whisper: Whisper | None = None


class Route(_Body):
    termination_number: Number
    features: RouteFeatures | None = None


class CallRoutes(_Body):
    route_type: CallRouteType
    route: Route


class RouteChange(_Body):
    termination_number: Number | None = None
    features: RouteFeatures | None = None


class CallRoutesChange(_Body):
    """What is left out stays as it is."""

    route_type: CallRouteType | None = None
    route: RouteChange | None = None


class NoSms(_Body):
    route_type: StrictStr


class AutoreplyRoute(_Body):
    autoreply_enabled: StrictBool
    autoreply_message: Text


class Autoreply(_Body):
    route_type: StrictStr
    route: AutoreplyRoute


class ChatClientRoute(_Body):
    chat_client_id: Guid


class ChatClient(_Body):
    route_type: StrictStr
    route: ChatClientRoute


class SmartNumberRoute(_Body):
    autoreply_enabled: StrictBool | None = None
    autoreply_message: ShortReply | None = None
    alternate_text_termination: Number | None = None


class SmartNumber(_Body):
    route_type: StrictStr
    route: SmartNumberRoute


class WebhookRoute(_Body):
    inbound_webhook_url: WebUrl


class Webhook(_Body):
    """Without a route, text messages come to Trunkline."""

    route_type: StrictStr
    route: WebhookRoute | None = None


SmsRoutes = Annotated[
    Annotated[NoSms, Tag("none")]
    | Annotated[Autoreply, Tag("autoreply")]
    | Annotated[ChatClient, Tag("chatclient")]
    | Annotated[SmartNumber, Tag("smartnumber")]
    | Annotated[Webhook, Tag("webhook")],
    Discriminator(word_in("route_type")),
]


class Features(_Body):
    stop_call: StopCall | None = None
    call_verify: CallVerify | None = None


class TrackingSource(_Body):
    referrer_domain: Text
    url_triggers: list[Text] | None = None
    page_variable_triggers: list[Text] | None = None
    url_trigger_operator: Literal["AND", "OR"] | None = None
    page_trigger_operator: Literal["AND", "OR"] | None = None
    track_organic: StrictBool | None = None


class Replacement(_Body):
    """Which numbers on a website give way to this one, and for which visitors."""

    numbers_to_replace: list[Replaced] | None = None
    replace_all_numbers: StrictBool | None = None
    tracking_sources: list[TrackingSource] | None = None

    @model_validator(mode="after")
    def _replaces_some_or_all(self) -> Self:
        if self.replace_all_numbers and self.numbers_to_replace:
            raise ValueError("replace_all_numbers cannot be used in combination with numbers_to_replace")
        return self


class _Spec(_Body):
    extra: dict[str, Any] = {}
    """Fields of Telmetrics' that Trunkline does not know, merged into the body as they are."""


class Provision(_Spec):
    """`POST /groups/{group_id}/numbers`; the fields in the order of the pages' examples."""

    group_id: GroupId
    name: Text
    phone_number_request: PhoneNumberRequest | None = None
    features: Features | None = None
    sms_routes: SmsRoutes | None = None
    call_routes: CallRoutes | None = None
    replacement_configuration: Replacement | None = None


class Update(_Spec):
    """`PUT /numbers/{id}`."""

    name: Text | None = None
    features: Features | None = None
    sms_routes: SmsRoutes | None = None
    call_routes: CallRoutesChange | None = None
    replacement_configuration: Replacement | None = None


class Release(_Body):
    """`DELETE /numbers/{id}`."""
