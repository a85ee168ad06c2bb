package app

import (
	"net/http"
	"slices"
)

// guard keeps pages of other origins out: a browser gets an answer only if its
// page's origin is listed, or nobody's page asked. A service under a name below
// localhost counts as another, too. One under a path URL does not: its pages share
// the origin with all other paths, those of app-gateway among them.
func guard(origins []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Vary", "Origin, Sec-Fetch-Site")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		switch origin := r.Header.Values("Origin"); {
		case len(origin) == 1 && slices.Contains(origins, origin[0]):
			header.Set("Access-Control-Allow-Origin", origin[0])
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				header.Set("Access-Control-Allow-Methods", "GET, POST")
				header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
				header.Set("Access-Control-Max-Age", "600")
				w.WriteHeader(http.StatusNoContent)
				return
			}
		case len(origin) > 0:
			refuse(w, http.StatusForbidden, "pages of this origin are not allowed to ask")
			return
		case slices.Contains([]string{"cross-site", "same-site"}, r.Header.Get("Sec-Fetch-Site")):
			refuse(w, http.StatusForbidden, "pages of other sites are not allowed to ask")
			return
		}
		next.ServeHTTP(w, r)
	})
}
