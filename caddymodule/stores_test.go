package caddymodule_test

import _ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/store" // the stores that tests of this package configure
