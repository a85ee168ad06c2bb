// Command echo is a service for scenarios, at each HOST:PORT of its arguments:
// it answers with what it was asked, and on /…/ws it is a WebSocket that says
// everything back; /…/stream begins and does not end. At an absolute path it
// prints the datagrams that it gets. "get SOCKET PATH" prints what is there.
package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "get" {
		if err := get(os.Args[2], os.Args[3]); err != nil {
			log.Fatal(err)
		}
		return
	}
	ended := make(chan error)
	for _, address := range os.Args[1:] {
		go func() {
			if strings.HasPrefix(address, "/") {
				ended <- printDatagrams(address)
			} else {
				ended <- http.ListenAndServe(address, http.HandlerFunc(answer))
			}
		}()
	}
	log.Fatal(<-ended)
}

func get(socket, path string) error {
	client := &http.Client{Transport: &http.Transport{Dial: func(string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	response, err := client.Get("http://socket" + path)
	if err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

func printDatagrams(path string) error {
	conn, err := net.ListenPacket("unixgram", path)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return err
	}
	buffer := make([]byte, 1<<10)
	for {
		n, _, err := conn.ReadFrom(buffer)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", buffer[:n])
	}
}

func answer(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/ws") {
		talk(w, r)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/stream") {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	size, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	// nginx would act on it, if it believed services.
	w.Header().Set("X-Accel-Redirect", "/collab/ping")
	_ = json.NewEncoder(w).Encode(map[string]any{"uri": r.RequestURI, "host": r.Host, "header": r.Header, "size": size, "from": r.RemoteAddr})
}

// talk echoes short frames: the first two bytes of each are its kind and length.
func talk(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
		http.Error(w, "not a WebSocket", http.StatusBadRequest)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
		base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
	for echoFrame(rw.Reader, conn) == nil {
	}
}

func echoFrame(from *bufio.Reader, to io.Writer) error {
	head := make([]byte, 6) // with the mask
	if _, err := io.ReadFull(from, head); err != nil {
		return err
	}
	payload := make([]byte, head[1]&0x7f)
	if _, err := io.ReadFull(from, payload); err != nil {
		return err
	}
	for i := range payload {
		payload[i] ^= head[2+i%4]
	}
	_, err := to.Write(append([]byte{head[0], byte(len(payload))}, payload...))
	return err
}
