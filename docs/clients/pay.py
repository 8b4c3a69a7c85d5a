"""Hands an M-Pesa callback (standard input) on to expiry. A receipt counts once, however often it comes."""
import json, os, sys, time, urllib.error, urllib.request

SECONDS_PER_SHILLING = 360  # 10 shillings buy an hour.

callback = json.load(sys.stdin)["Body"]["stkCallback"]
if callback["ResultCode"] != 0:
    sys.exit("not paid: " + callback["ResultDesc"])
paid = {item["Name"]: item.get("Value") for item in callback["CallbackMetadata"]["Item"]}
payment = {"reference": paid["MpesaReceiptNumber"], "username": str(paid["PhoneNumber"]), "create": True,
           "seconds": int(paid["Amount"] * SECONDS_PER_SHILLING), "note": "M-Pesa"}
request = urllib.request.Request(
    os.environ["EXPIRY_URL"] + "/api/v1/payments", json.dumps(payment).encode(),
    {"Authorization": "Bearer " + os.environ["EXPIRY_TOKEN"], "Content-Type": "application/json"})
give_up = time.monotonic() + 120
while True:
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:
            print(answer.read().decode())
            break
    except urllib.error.HTTPError as error:
        if error.code < 500 and error.code not in (408, 429):
            sys.exit(error.read().decode())
    except OSError as error:  # No answer: whether it was taken is not known, so it is sent again.
        print(error, file=sys.stderr)
    if time.monotonic() > give_up:
        sys.exit("no answer for two minutes")
    time.sleep(2)
