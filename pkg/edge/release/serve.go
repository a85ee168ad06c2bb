package release

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Handler serves the current build of a directory that Pack fills: its manifest,
// the signature, and the archive that the manifest names. There is nothing else.
func Handler(dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		// One build for the whole request, whatever is packed meanwhile.
		build, err := filepath.EvalSymlinks(filepath.Join(dir, currentLink))
		if err != nil {
			http.Error(w, "nothing is packed yet", http.StatusNotFound)
			return
		}
		data, err := os.ReadFile(filepath.Join(build, manifestFile))
		if err != nil {
			http.Error(w, "the manifest cannot be read", http.StatusInternalServerError)
			return
		}
		manifest, err := ParseManifest(data)
		if err != nil {
			http.Error(w, "the manifest is not valid", http.StatusInternalServerError)
			return
		}
		switch r.URL.Path {
		case "/" + manifestFile:
			w.Header().Set("Content-Type", "application/json")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		case "/" + signatureFile:
			serveFile(w, r, filepath.Join(build, signatureFile))
		case "/" + manifest.File:
			serveFile(w, r, filepath.Join(build, manifest.File))
		default:
			http.Error(w, "not found", http.StatusNotFound)
		}
	})
}

func serveFile(w http.ResponseWriter, r *http.Request, path string) {
	file, err := os.Open(path)
	if err != nil {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	defer file.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, file)
}
