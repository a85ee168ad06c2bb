// Command standin takes the place of app-gateway in tests of what keeps it
// running: it answers pings and, as it was built to, misbehaves. Everything but
// serve is left to the real program, which stands beside it.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// Set by the linker.
var (
	build = "standin"
	mode  string // "", deaf: ignores TERM, mute: never listens, broken: ends at once
)

const (
	pushed   = "/tmp/standin-pushed"   // its last push
	answered = "/tmp/standin-answered" // what its reset was answered
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "serve" {
		delegate()
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
}

func delegate() {
	exe, err := os.Executable()
	if err == nil {
		real := filepath.Join(filepath.Dir(exe), "real")
		err = syscall.Exec(real, append([]string{real}, os.Args[1:]...), os.Environ())
	}
	fmt.Fprintln(os.Stderr, "standin:", err)
	os.Exit(1)
}

func serve() error {
	fmt.Println("standin", build, "starts")
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	switch mode {
	case "broken":
		return fmt.Errorf("built to be broken")
	case "mute":
		<-signals
		return nil
	}
	failed := make(chan error, 1)
	http.HandleFunc("/collab/ping", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"gateway_id": os.Getenv("GATEWAY_ID"), "build": build, "state": "active"})
	})
	// It asks for a reset as app-gateway does, and is ended by it.
	http.HandleFunc("/reset", func(w http.ResponseWriter, _ *http.Request) {
		cmd := exec.Command("/app/main.sh", "-r", "bin/reset-gateway.sh")
		cmd.Stderr = os.Stderr
		answer, _ := cmd.Output()
		os.WriteFile(answered, answer, 0o600)
		w.Write(answer)
	})
	go func() { failed <- http.ListenAndServe("127.0.0.1:8888", nil) }()
	for {
		select {
		case err := <-failed:
			return err
		case <-signals:
			if mode == "deaf" {
				continue
			}
			return os.WriteFile(pushed, []byte(build), 0o600)
		}
	}
}
