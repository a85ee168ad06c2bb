package handshake

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

var now = time.Unix(1_800_000_000, 0)

// line is a preface as another implementation would write it.
func line(key Key, token string, at int64, nonce string) string {
	mac := hex.EncodeToString(key.mac(fmt.Sprintf("%s|%d|%s", token, at, nonce)))
	return fmt.Sprintf("NSSH1 %s %d %s %s\n", token, at, nonce, mac)
}

// verifier has run for a while.
func verifier(clock *time.Time) *Verifier {
	v := started(clock)
	v.started = clock.Add(-time.Hour)
	return v
}

// started is one that has just started.
func started(clock *time.Time) *Verifier {
	v := NewVerifier(func() (Key, error) { return testKey, nil }, func() time.Time { return *clock })
	v.patience = 200 * time.Millisecond
	return v
}

// pair is a TCP connection: both ends have what pipes lack, buffers and halves.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// present sends bytes to a verifier and returns all that comes back, and what
// the server reads after the preface.
func present(t *testing.T, v *Verifier, sent string) (answer, rest string, err error) {
	t.Helper()
	client, server := pair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conn net.Conn
		if conn, err = v.Accept(server); err == nil {
			b, _ := io.ReadAll(conn)
			rest = string(b)
			conn.Close()
		}
	}()
	if _, err := io.WriteString(client, sent); err != nil {
		t.Fatal(err)
	}
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, readErr := io.ReadAll(client)
	if readErr != nil {
		t.Errorf("reading the answer: %v", readErr)
	}
	<-done
	return string(b), rest, err
}

func TestAcceptsAndLosesNothing(t *testing.T) {
	for name, after := range map[string]string{
		"nothing after": "", "a banner after": "SSH-2.0-x\r\n", "much after": strings.Repeat("x\n", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			answer, rest, err := present(t, verifier(&now), line(testKey, "tok-1", now.Unix(), "n")+after)
			if answer != "OK\n" || err != nil {
				t.Fatalf("answer %q, %v", answer, err)
			}
			if rest != after {
				t.Errorf("%d of %d bytes are left", len(rest), len(after))
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	at := now.Unix()
	good := line(testKey, "tok", at, "nonce")
	for name, sent := range map[string]string{
		"wrong MAC":             line(testKey[1:]+"0", "tok", at, "nonce"),
		"MAC of another token":  strings.Replace(good, "tok", "tik", 1),
		"MAC of another time":   strings.Replace(good, fmt.Sprint(at), fmt.Sprint(at+1), 1),
		"MAC of another nonce":  strings.Replace(good, "nonce", "nance", 1),
		"MAC cut short":         good[:len(good)-3] + "\n",
		"no MAC":                fmt.Sprintf("NSSH1 tok %d nonce \n", at),
		"MAC not hexadecimal":   good[:len(good)-2] + "g\n",
		"stale":                 line(testKey, "tok", at-301, "nonce"),
		"future":                line(testKey, "tok", at+301, "nonce"),
		"far future":            line(testKey, "tok", 9223372036854775807, "nonce"),
		"beyond any time":       "NSSH1 tok 99999999999999999999 nonce " + strings.Repeat("0", 64) + "\n",
		"negative time":         line(testKey, "tok", -1, "nonce"),
		"no time":               "NSSH1 tok nonce " + strings.Repeat("0", 64) + "\n",
		"truncated":             good[:len(good)/2],
		"no newline":            strings.TrimSuffix(good, "\n"),
		"nothing":               "",
		"only a newline":        "\n",
		"another version":       strings.Replace(good, "NSSH1", "NSSH2", 1),
		"SSH at once":           "SSH-2.0-OpenSSH_9.2\r\n",
		"HTTP":                  "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"carriage return":       strings.Replace(good, "\n", "\r\n", 1),
		"two spaces":            strings.Replace(good, " ", "  ", 1),
		"one field more":        strings.Replace(good, "\n", " x\n", 1),
		"separator in a field":  line(testKey, "tok|x", at, "nonce"),
		"binary":                "NSSH1 \x00\xff\xfe\x80 \x01 \x02 \x03\n",
		"binary without an end": strings.Repeat("\x00\xff", 400),
		"oversized":             "NSSH1 " + strings.Repeat("x", 1024) + "\n",
		"endless":               strings.Repeat("x", 40_000),
		"newline at 1025":       strings.Repeat("x", 1024) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, _, err := present(t, verifier(&now), sent)
			if answer != "ERR\n" {
				t.Errorf("answer %q", answer)
			}
			if !errors.Is(err, ErrRefused) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestLongestLineIsAccepted(t *testing.T) {
	short := line(testKey, "", now.Unix(), "n")
	sent := line(testKey, strings.Repeat("t", maxLine-len(short)), now.Unix(), "n")
	if len(sent) != 1024 {
		t.Fatalf("%d bytes", len(sent))
	}
	if answer, _, err := present(t, verifier(&now), sent); answer != "OK\n" {
		t.Errorf("answer %q, %v", answer, err)
	}
}

func TestReadsNoMoreThanALine(t *testing.T) {
	client, server := net.Pipe() // without buffers: what is written has been read
	defer client.Close()
	go verifier(&now).Accept(server)
	client.SetDeadline(time.Now().Add(5 * time.Second))
	n, _ := client.Write(bytes.Repeat([]byte("x"), 2000))
	if n > 1024 {
		t.Errorf("%d bytes were read", n)
	}
}

func TestSlowClientIsRefusedInTime(t *testing.T) {
	for name, pause := range map[string]time.Duration{"silent": time.Hour, "byte by byte": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t)
			begin := time.Now()
			failed := make(chan error, 1)
			go func() {
				_, err := verifier(&now).Accept(server)
				failed <- err
			}()
			go func() {
				for _, c := range []byte(line(testKey, "tok", now.Unix(), "nonce")) {
					time.Sleep(pause)
					if _, err := client.Write([]byte{c}); err != nil {
						return
					}
				}
			}()
			if answer, _ := io.ReadAll(client); string(answer) != "ERR\n" {
				t.Errorf("answer %q", answer)
			}
			if err := <-failed; !errors.Is(err, ErrRefused) {
				t.Errorf("error %v", err)
			}
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestReplay(t *testing.T) {
	clock := now
	for name, stamp := range map[string]time.Duration{"now": 0, "past": -299 * time.Second, "future": 299 * time.Second} {
		t.Run(name, func(t *testing.T) {
			clock = now
			v := verifier(&clock)
			sent := line(testKey, "tok", now.Add(stamp).Unix(), "nonce")
			if answer, _, err := present(t, v, sent); answer != "OK\n" {
				t.Fatalf("answer %q, %v", answer, err)
			}
			// As long as the timestamp could be accepted, at every second.
			for after := time.Duration(0); after <= 700*time.Second; after += 50*time.Second - 1 {
				clock = now.Add(after)
				if answer, _, _ := present(t, v, sent); answer != "ERR\n" {
					t.Errorf("replayed after %v: %q", after, answer)
				}
			}
			if n := len(v.seen.seen); n != 0 && clock.Sub(now.Add(stamp)) > skew {
				v.seen.forget(clock.Unix())
				if n = len(v.seen.seen); n != 0 {
					t.Errorf("%d nonces are remembered for nothing", n)
				}
			}
		})
	}
}

// A sandbox that is started again has forgotten its nonces.
func TestReplayAfterARestart(t *testing.T) {
	clock := now.Add(500 * time.Millisecond)
	sent := line(testKey, "tok", clock.Unix(), "nonce")
	if answer, _, err := present(t, started(&clock), sent); answer != "OK\n" {
		t.Fatalf("answer %q, %v: a preface of the second of the start has to count", answer, err)
	}
	clock = clock.Add(500 * time.Millisecond)
	second := started(&clock)
	if answer, _, _ := present(t, second, sent); answer != "ERR\n" {
		t.Errorf("replayed: %q", answer)
	}
	if answer, _, err := present(t, second, line(testKey, "tok", clock.Unix(), "another")); answer != "OK\n" {
		t.Errorf("answer %q, %v", answer, err)
	}
}

func TestSameNonceWithAnotherTokenIsAReplay(t *testing.T) {
	v := verifier(&now)
	present(t, v, line(testKey, "one", now.Unix(), "nonce"))
	if answer, _, _ := present(t, v, line(testKey, "two", now.Unix(), "nonce")); answer != "ERR\n" {
		t.Errorf("answer %q", answer)
	}
}

func TestRefusedNonceIsNotRemembered(t *testing.T) {
	v := verifier(&now)
	present(t, v, line(Key(strings.Repeat("0", 64)), "tok", now.Unix(), "nonce"))
	if answer, _, _ := present(t, v, line(testKey, "tok", now.Unix(), "nonce")); answer != "OK\n" {
		t.Errorf("answer %q: who has no key can shut others out", answer)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	r := newReplays()
	for i := range maxNonces {
		if err := r.add(preface{nonce: fmt.Sprint(i), at: now.Unix()}, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.add(preface{nonce: "one more", at: now.Unix()}, now); err == nil || len(r.seen) > maxNonces {
		t.Errorf("%d nonces, %v", len(r.seen), err)
	}
	later := now.Add(skew + time.Second)
	if err := r.add(preface{nonce: "one more", at: later.Unix()}, later); err != nil || len(r.seen) != 1 {
		t.Errorf("%d nonces, %v", len(r.seen), err)
	}
}

func TestKeyIsReadAtEachConnection(t *testing.T) {
	key, failure := testKey, error(nil)
	v := NewVerifier(func() (Key, error) { return key, failure }, func() time.Time { return now })
	other := Derive(testKey, "other")
	for i, step := range []struct {
		key     Key
		failure error
		want    string
	}{{testKey, nil, "OK\n"}, {other, nil, "ERR\n"}, {testKey, errors.New("no such file"), "ERR\n"}, {testKey, nil, "OK\n"}} {
		key, failure = step.key, step.failure
		if answer, _, _ := present(t, v, line(testKey, "tok", now.Unix(), fmt.Sprint(i))); answer != step.want {
			t.Errorf("step %d: %q", i, answer)
		}
	}
}

func TestOffer(t *testing.T) {
	t.Run("accepted", func(t *testing.T) {
		client, server := pair(t)
		v := NewVerifier(func() (Key, error) { return testKey, nil }, time.Now)
		go func() {
			if conn, err := v.Accept(server); err == nil {
				io.WriteString(conn, "SSH-2.0-x\r\n")
				conn.Close()
			}
		}()
		if err := Offer(client, testKey, "tok", time.Now().Add(5*time.Second)); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(client); string(rest) != "SSH-2.0-x\r\n" || err != nil {
			t.Errorf("after the answer %q, %v", rest, err)
		}
	})
	t.Run("wrong key", func(t *testing.T) {
		client, server := pair(t)
		v := NewVerifier(func() (Key, error) { return testKey, nil }, time.Now)
		go v.Accept(server)
		if err := Offer(client, Derive(testKey, "x"), "tok", time.Now().Add(5*time.Second)); !errors.Is(err, ErrRefused) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("silent sandbox", func(t *testing.T) {
		client, _ := pair(t)
		begin := time.Now()
		var timeout net.Error
		if err := Offer(client, testKey, "tok", begin.Add(100*time.Millisecond)); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("error %v", err)
		}
	})
	for name, token := range map[string]string{"empty": "", "space": "a b", "newline": "a\nb", "separator": "a|b", "long": strings.Repeat("x", 1000)} {
		t.Run("token "+name, func(t *testing.T) {
			var out bytes.Buffer
			if err := Write(&out, testKey, token, now); err == nil || out.Len() > 0 {
				t.Errorf("sent %q, %v", out.String(), err)
			}
		})
	}
}

func FuzzAccept(f *testing.F) {
	f.Add([]byte(line(testKey, "tok", now.Unix(), "nonce")))
	f.Add([]byte(line(testKey, "tok", now.Unix()+300, "nonce") + "SSH-2.0-x\r\n"))
	f.Add([]byte("NSSH1 a 1 b 00\n"))
	f.Add(bytes.Repeat([]byte{0xff}, 2000))
	f.Fuzz(func(t *testing.T, sent []byte) {
		text, rest, err := readLine(bytes.NewReader(sent))
		if err != nil {
			return
		}
		if text+"\n"+string(rest) != string(sent[:min(len(sent), len(text)+1+len(rest))]) || len(text) >= maxLine {
			t.Fatalf("%q became %q and %q", sent, text, rest)
		}
		p, err := parse(text)
		if err != nil {
			return
		}
		// What is accepted is exactly what the owner of the key would write.
		if p.verify(testKey, now) == nil && !strings.EqualFold(text+"\n", line(testKey, p.token, p.at, p.nonce)) && strings.TrimLeft(p.stamp, "0") == p.stamp {
			t.Fatalf("%q was accepted", text)
		}
	})
}
