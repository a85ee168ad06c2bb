// Command vpnprobe stands at either end of what the scenarios of the VPN try.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

const usage = "usage: vpnprobe serve FILE TCP-ADDRESS... | echo UDP-ADDRESS | dial tcp|udp ADDRESS [SOURCE] | get URL"

func main() {
	if len(os.Args) < 3 {
		log.Fatal(usage)
	}
	args := os.Args[2:]
	switch os.Args[1] {
	case "serve":
		serve(args[0], args[1:])
	case "echo":
		echo(args[0])
	case "dial":
		fmt.Println(dial(args[0], args[1], args[2:]...))
	case "get":
		get(args[0])
	default:
		log.Fatal(usage)
	}
}

// request is a line of the file of what was asked.
type request struct {
	Path, Remote, Authorization string
	Body                        json.RawMessage
}

// serve answers every HTTP request with the address that it came from.
func serve(file string, addresses []string) {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !json.Valid(body) {
			body = []byte("null")
		}
		remote, _, _ := net.SplitHostPort(r.RemoteAddr)
		line, _ := json.Marshal(request{r.URL.Path, remote, r.Header.Get("Authorization"), body})
		out.Write(append(line, '\n'))
		json.NewEncoder(w).Encode(map[string]string{"status": "ok", "remote": remote})
	})
	for _, a := range addresses {
		l, err := net.Listen("tcp", a)
		if err != nil {
			log.Fatal(err)
		}
		go http.Serve(l, handler)
	}
	select {}
}

func echo(address string) {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		log.Fatal(err)
	}
	buffer := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			log.Fatal(err)
		}
		conn.WriteTo(buffer[:n], from)
	}
}

// dial answers open, refused (said by the other side), or silent.
func dial(network, address string, source ...string) string {
	d := net.Dialer{Timeout: 2 * time.Second}
	for _, s := range source {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(s)}
	}
	conn, err := d.Dial(network, address)
	if err == nil && network == "udp" {
		err = ask(conn)
	}
	var timeout net.Error
	switch {
	case err == nil:
		return "open"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EACCES):
		return "refused"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "silent"
	}
	return err.Error()
}

// ask sends datagrams until one comes back: kernels limit how often they refuse.
func ask(conn net.Conn) (err error) {
	buffer := make([]byte, 16)
	for range 8 {
		conn.SetDeadline(time.Now().Add(500 * time.Millisecond))
		var n int
		if _, err = conn.Write([]byte("hello")); err == nil {
			n, err = conn.Read(buffer)
		}
		switch {
		case err == nil && !bytes.Equal(buffer[:n], []byte("hello")):
			return io.ErrUnexpectedEOF
		case err == nil, !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
	}
	return err
}

func get(url string) {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	io.Copy(os.Stdout, response.Body)
}
