// The web server is the process of a user container in a scenario: it answers
// with what it is asked, remembers in a file what it was told, and tries what it
// can reach.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

const memory = "/memory"

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			text, err := io.ReadAll(r.Body)
			if err == nil {
				err = os.WriteFile(memory, text, 0o600)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
			return
		}
		remembered, _ := os.ReadFile(memory) // there may be nothing yet
		fmt.Fprintf(w, "%s %s %s %s", os.Getenv("GREETING"), r.Host, r.URL.Path, remembered)
	})
	http.HandleFunc("/reach", func(w http.ResponseWriter, r *http.Request) {
		conn, err := net.DialTimeout("tcp", r.URL.Query().Get("to"), 3*time.Second)
		if err != nil {
			fmt.Fprint(w, "no: ", err)
			return
		}
		conn.Close()
		fmt.Fprint(w, "yes")
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
