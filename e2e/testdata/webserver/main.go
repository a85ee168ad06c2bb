// The web server is the process of a user container in a scenario: it answers
// with what it is asked, and remembers in a file what it was told.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
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
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
