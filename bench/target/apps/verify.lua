-- Verifies GitHub's deliveries in nginx, and does not forward duplicates.
local hmac = require "openssl.hmac"

local function hex(bytes)
  return (bytes:gsub(".", function(c) return string.format("%02x", c:byte()) end))
end

local header = ngx.var.http_x_hub_signature_256
if not header then
  return ngx.exit(401)
end
ngx.req.read_body()
local mac = hmac.new(os.getenv("WEBHOOK_SECRET"), "sha256")
if header ~= "sha256=" .. hex(mac:final(ngx.req.get_body_data() or "")) then
  return ngx.exit(401)
end
local new, err = ngx.shared.seen:add(header, true, 7 * 24 * 3600)
if not new then
  return ngx.exit(err == "exists" and 200 or 503)
end
