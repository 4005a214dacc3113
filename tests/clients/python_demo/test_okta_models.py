"""Okta's own request models read what Flareward pushed.

`FLAREWARD_DEMO` is the first line of `flareward demo --output json`. Run with `python -m unittest`.
"""

import base64
import json
import os
import time
import unittest
import urllib.request

from okta.models.security_event_token_request_jwt_body import SecurityEventTokenRequestJwtBody
from okta.models.security_event_token_request_jwt_header import SecurityEventTokenRequestJwtHeader

DEMO = json.loads(os.environ["FLAREWARD_DEMO"])
USER_RISK_CHANGE = "https://schemas.okta.com/secevent/okta/event-type/user-risk-change"


def accepted_signals():
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{DEMO['sandbox']['control_url']}/received/signals") as answer:
            body = json.load(answer)
        signals = body if isinstance(body, list) else body.get("signals", body.get("items"))
        accepted = [signal for signal in signals if signal["accepted"]]
        if accepted:
            return accepted
        time.sleep(0.1)
    raise AssertionError("the receiver accepted no signal within a minute")


def part(token, index):
    text = token.split(".")[index]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


class PushedSignals(unittest.TestCase):
    def test_every_pushed_signal_has_the_shape_that_okta_publishes(self):
        for signal in accepted_signals():
            SecurityEventTokenRequestJwtHeader.from_dict(part(signal["token"], 0))
            claims = part(signal["token"], 1)
            SecurityEventTokenRequestJwtBody.from_dict(claims)
            self.assertEqual(list(claims["events"]), [USER_RISK_CHANGE])
            self.assertIsInstance(claims["aud"], str)


if __name__ == "__main__":
    unittest.main()
