// Hands an M-Pesa callback (standard input) on to expiry. A receipt counts once, however often it comes.
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

const SECONDS_PER_SHILLING = 360; // 10 shillings buy an hour.

const { ResultCode, ResultDesc, CallbackMetadata } = JSON.parse(readFileSync(0)).Body.stkCallback;
if (ResultCode !== 0) throw new Error(`not paid: ${ResultDesc}`);
const paid = Object.fromEntries(CallbackMetadata.Item.map(({ Name, Value }) => [Name, Value]));
const body = JSON.stringify({ reference: paid.MpesaReceiptNumber, username: String(paid.PhoneNumber),
  create: true, seconds: Math.floor(paid.Amount * SECONDS_PER_SHILLING), note: "M-Pesa" });
const headers = { Authorization: `Bearer ${process.env.EXPIRY_TOKEN}`, "Content-Type": "application/json" };
for (const giveUp = Date.now() + 120_000; ; await pause(2000)) {
  // No answer: whether it was taken is not known, so it is sent again.
  const answer = await fetch(`${process.env.EXPIRY_URL}/api/v1/payments`,
    { method: "POST", headers, body, signal: AbortSignal.timeout(40_000) }).catch(console.error);
  if (answer?.ok) { console.log(await answer.text()); break; }
  if (answer && answer.status < 500 && ![408, 429].includes(answer.status)) throw new Error(await answer.text());
  if (Date.now() > giveUp) throw new Error("no answer for two minutes");
}
