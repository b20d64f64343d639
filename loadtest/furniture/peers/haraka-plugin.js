// Takes everything from loopback and routes every domain to the sink.
exports.hook_connect = function (next, connection) { connection.relaying = true; next() }
exports.hook_rcpt = function (next) { next(OK) }
exports.hook_get_mx = function (next, hmail, domain) {
  next(OK, [{ priority: 0, exchange: '127.0.0.1', port: @sink@ }])
}
