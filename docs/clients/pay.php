<?php
// Hands an M-Pesa callback (the body of the request, or standard input) on to expiry. A receipt counts
// once, however often it comes.
const SECONDS_PER_SHILLING = 360; // 10 shillings buy an hour.

$input = file_get_contents(PHP_SAPI === 'cli' ? 'php://stdin' : 'php://input');
$callback = json_decode($input, true, 32, JSON_THROW_ON_ERROR)['Body']['stkCallback'];
if ($callback['ResultCode'] !== 0) exit("not paid: {$callback['ResultDesc']}\n");
$paid = array_column($callback['CallbackMetadata']['Item'], 'Value', 'Name');
$payment = ['reference' => $paid['MpesaReceiptNumber'], 'username' => (string) $paid['PhoneNumber'],
    'create' => true, 'seconds' => (int) ($paid['Amount'] * SECONDS_PER_SHILLING), 'note' => 'M-Pesa'];
$context = stream_context_create(['http' => ['method' => 'POST', 'timeout' => 40, 'ignore_errors' => true,
    'header' => ['Content-Type: application/json', 'Authorization: Bearer ' . getenv('EXPIRY_TOKEN')],
    'content' => json_encode($payment)]]);
for ($giveUp = time() + 120; time() < $giveUp; sleep(2)) {
    $http_response_header = [];
    // No answer: whether it was taken is not known, so it is sent again.
    $answer = @file_get_contents(getenv('EXPIRY_URL') . '/api/v1/payments', false, $context);
    $status = (int) (explode(' ', $http_response_header[0] ?? '')[1] ?? 0);
    if ($status === 200) { echo $answer, "\n"; exit(0); }
    if ($status >= 400 && $status < 500 && !in_array($status, [408, 429])) { fwrite(STDERR, $answer . "\n"); exit(1); }
}
fwrite(STDERR, "no answer for two minutes\n");
exit(1);
