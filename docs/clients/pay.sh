#!/bin/sh
# Hands a payment on to expiry. Call it as often as the provider calls: a receipt counts once.
# Usage: EXPIRY_URL=http://127.0.0.1:8080 EXPIRY_TOKEN=… pay.sh RECEIPT PHONE SECONDS
set -eu
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
# Connections that fail and 408, 429, 500, 502, 503, 504 are tried again for two minutes; what is wrong
# with the payment itself is told at once.
code=0
curl --silent --show-error --fail-with-body --max-time 40 --output "$answer" \
    --retry 60 --retry-delay 2 --retry-max-time 120 --retry-connrefused \
    --header "Authorization: Bearer $EXPIRY_TOKEN" \
    --json "{\"reference\": \"$1\", \"username\": \"$2\", \"seconds\": $3, \"create\": true}" \
    "$EXPIRY_URL/api/v1/payments" || code=$?
cat "$answer"
exit "$code"
