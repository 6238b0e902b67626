"""The examples of AVANSER's page "Telco API - Product Outline and Examples", as they stand there."""

# The host to which the examples of the page have everything reported.
HOST = "desired.uri.to"

SEARCH_PATH = "/numbers?country=AU&szu=sydney"
SEARCH_REPLY = """
{
    "@transaction": {
        "id": "9b9ee53663816df8eb66d694383f3ef9e2ee8ddf",
        "account-id": "7xxx",
        "request": {
            "api-version": "v1",
            "method": "GET",
            "path": "/v1/numbers?country=AU&szu=sydney",
            "time": "2017-06-14T10:19:24+10:00",
            "ms": "0.711"
        }
    },
    "response": {
        "61280740802": {
            "country": "AU", "region": "NSW: Sydney", "type": "GEO",
            "national": "0280740802", "calling_code": "+61", "pool": "private"
        },
        "61280740805": {
            "country": "AU","region": "NSW: Sydney","type": "GEO",
            "national": "0280740805","calling_code": "+61","pool": "private"
        }
    }
}
"""

BY_NUMBER = """{
 "name": "service #1",
 "custom_id": "custom_id #1",
 "custom_group": "custom_group #1",
 "service_number": {
 "country": "AU",
 "search_type": "number",
 "number": "61280740801"
 },
 "service": {
 "type": "transfer",
 "answer_point": "61401603859",
 "answer_point_name": "answerpoint #1",
 "record_call": true
 },
 "call_uri": "http://desired.uri.to/debug.php?call_uri=service1",
 "callback_uri": "http://desired.uri.to/debug.php?callback_uri=service1"
}"""
BY_NUMBER_REPLY = """
{
    "@transaction": {
        "id": "a852650ae8689da0b0632f0c6c276e919d7a7b6e",
        "account-id": "7xxx",
        "request": {
            "api-version": "v1",
            "method": "POST",
            "path": "/v1/requests",
            "time": "2017-06-14T10:29:49+10:00",
            "ms": "0.622"
        }
    },
    "response": {
        "request_id": "a852650ae8689da0b0632f0c6c276e919d7a7b6e",
        "message": "Success",
        "code": 200,
        "service_number": "61280740801"
    }
}
"""
BY_NUMBER_CALLBACK = """
{
  "account_id": "7xxx",
  "request_id": "3b9b2298b519cef79c6c1638f4d54ddae19ba034",
  "custom_id": "custom_id #1",
  "custom_group": "custom_group #1",
  "service_number": "61280740801",
  "answer_point": "61401603859",
  "message": "Request completed successfully",
  "status": "completed"
}
"""

BY_SZU = """{
 "name": "service #3",
 "custom_id": "custom_id #3",
 "custom_group": "custom_group #3",
 "service_number": {
  "country": "AU",
  "search_type": "szu",
  "szu": "sydney"
 },
 "service": {
 "type": "transfer",
 "answer_point": "61401603859",
 "answer_point_name": "answerpoint #3",
 "record_call": true
 },
 "call_uri": "http://desired.uri.to/debug.php?call_uri=service1",
 "callback_uri": "http://desired.uri.to/debug.php?callback_uri=service1"
}"""
BY_SZU_REPLY = """
{
    "@transaction": {
        "id": "cebaa4ba54ecacb5054e2a4de54842e5a70ec0eb",
        "account-id": "7xxx",
        "request": {
            "api-version": "v1",
            "method": "POST",
            "path": "/v1/requests",
            "time": "2017-06-14T10:37:56+10:00",
            "ms": "0.587"
        }
    },
    "response": {
        "request_id": "cebaa4ba54ecacb5054e2a4de54842e5a70ec0eb",
        "message": "Success",
        "code": 200,
        "service_number": "61280740805"
    }
}
"""
BY_SZU_CALLBACK = """
{
  "account_id": "7xxx",
  "request_id": "cebaa4ba54ecacb5054e2a4de54842e5a70ec0eb",
  "custom_id": "custom_id #3",
  "custom_group": "custom_group #3",
  "service_number": "61280740805",
  "answer_point": "61401603859",
  "message": "Request completed successfully",
  "status": "completed"
}
"""

UPDATE_PATH = "/services/61280740801"
UPDATE = """{
  "service": {
    "answer_point": "61132307"
  },
  "call_uri": "https://desired.uri.to/debug.php?call_uri=service1&new-call-uri=1",
  "callback_uri": "https://desired.uri.to/debug.php?callback_uri=service1&updated=true"
}"""
UPDATE_REPLY = """
{
    "@transaction": {
        "id": "c05977971a1d9fbe8eaa3a410f63d02ea5375c04",
        "account-id": "7xxx",
        "request": {
            "api-version": "v1",
            "method": "POST",
            "path": "/v1/services/61280740801",
            "time": "2017-06-14T10:56:42+10:00",
            "ms": "0.166"
        }
    },
    "response": {
        "request_id": "c05977971a1d9fbe8eaa3a410f63d02ea5375c04",
        "message": "Success",
        "code": 200,
        "service_number": "61280740801"
    }
}
"""
UPDATE_CALLBACK = """
{
  "account_id": "7xxx",
  "request_id": "43b1fbeec99581407cfe31908930c43fec066d3c",
  "custom_id": "",
  "custom_group": "",
  "service_number": "61280740801",
  "answer_point": "6113008786264",
  "message": "Request completed successfully",
  "status": "completed"
}
"""

CALL_PARAMETERS = """
call_uri = service1
clientid = 7xxx
callid = 36012012
uniqueid = ECS1-1497163757.20486
bnum = +61-0280740801
adname = service #1
target = +61-0401603859
targetname = answerpoint #1
ani = +61-0405061663
tzdate = 2017-06-11T16:49:17+10:00
duration = 15
callstatus = avanser_answered_call
callcode = 1
clocation = Mobile
cstate = MOB
ccountry = AU
custom_id = custom_id #1
custom_group = custom_group #1
"""


def sent_to(text: str, url: str) -> str:
    """An example with its reports going to `url` instead of the page's host."""
    return text.replace(f"https://{HOST}", url).replace(f"http://{HOST}", url)
