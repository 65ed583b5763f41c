package redisclient

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"

	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient/redistest"
)

func TestConnectionsAreRenewedOncePerFailoverAndNotTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var conns connections
		dial := func() net.Conn {
			client, server := net.Pipe()
			t.Cleanup(func() { _ = server.Close() })
			return conns.add(client)
		}
		open := func(conn net.Conn) bool {
			_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := conn.Read(make([]byte, 1))
			timeout, ok := errors.AsType[net.Error](err)
			return ok && timeout.Timeout()
		}
		wantRenewal := func(began time.Time, others, closed bool) {
			t.Helper()
			if o, c := conns.renew(began); o != others || c != closed {
				t.Errorf("renew = %t, %t; want %t, %t", o, c, others, closed)
			}
		}

		first, second, ended := dial(), dial(), dial()
		_ = ended.Close()
		began := time.Now()
		time.Sleep(time.Millisecond)
		wantRenewal(began, true, true)
		if open(first) || open(second) {
			t.Error("a connection to the old primary is still open")
		}
		third := dial()
		wantRenewal(began, true, false) // another call that began at that time
		wantRenewal(time.Now(), false, false)
		if !open(third) {
			t.Error("a new connection was closed because of an old one")
		}
		time.Sleep(RenewEvery)
		wantRenewal(time.Now(), true, true)
		if open(third) {
			t.Error("a connection to the old primary is still open")
		}
		if len(conns.open) != 0 {
			t.Errorf("%d connections are tracked, want none", len(conns.open))
		}
	})
}

func TestErrorsOfAServerInTheWrongRoleAreRecognizedInEveryVersion(t *testing.T) {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{redistest.Start(t).Address}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for reply, want := range map[string]bool{
		"READONLY You can't write against a read only replica.":                                                                                true,
		"READONLY You can't write against a read only replica. script: 6cd1, on @user_script:22.":                                              true, // 7.0 and later
		"ERR Error running script (call to f_11d2): @user_script:17: @user_script: 17: -READONLY You can't write against a read only replica.": true, // 6.2
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.":                                                     true,
		"LOADING Redis is loading the dataset in memory":                                                                                       true,
		"NOREPLICAS Not enough good replicas to write.":                                                                                        true,
		"ERR Error running script (call to f_11d2): @user_script:17: @user_script: 17: -NOREPLICAS Not enough good replicas to write.":         true, // 6.2
		"OOM command not allowed when used memory > 'maxmemory'.":                                                                              false,
		"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.":                                     false,
		"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.":                                               false,
		"CLUSTERDOWN The cluster is down":                                                                                                      false,
		"NOPERM User hooks has no permissions to run the 'eval' command":                                                                       false,
		"ERR a reply that contains READONLY":                                                                                                   false,
		"WRONGTYPE Operation against a key holding the wrong kind of value":                                                                    false,
	} {
		err := client.Do(t.Context(), client.B().Eval().Script("return redis.error_reply(ARGV[1])").Numkeys(0).Arg(reply).Build()).Error()
		if err == nil || fromWrongServer(err) != want {
			t.Errorf("%v: from the wrong server is %t, want %t", err, fromWrongServer(err), want)
		}
	}
	for _, err := range []error{nil, io.EOF, errNotConnected} {
		if fromWrongServer(err) {
			t.Errorf("%v counts as a reply", err)
		}
	}
}

func TestErrorsOfAFullServerAreRecognizedInEveryVersion(t *testing.T) {
	server := redistest.Start(t)
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Address}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for reply, want := range map[string]bool{
		"OOM command not allowed when used memory > 'maxmemory'.":                                                                                true, // 7.0 and later
		"ERR Error running script (call to f_11d2): @user_script:17: @user_script: 17: -OOM command not allowed when used memory > 'maxmemory'.": true, // 6.2
		"ERR Error running script (call to f_11d2): @user_script:17: @user_script: 17: -READONLY You can't write against a read only replica.":   false,
		"LOADING Redis is loading the dataset in memory":                                                                                         false,
	} {
		err := client.Do(t.Context(), client.B().Eval().Script("return redis.error_reply(ARGV[1])").Numkeys(0).Arg(reply).Build()).Error()
		if err == nil || Full(err) != want || unavailable(err) == want {
			t.Errorf("%v: full is %t, want %t", err, Full(err), want)
		}
	}
}
