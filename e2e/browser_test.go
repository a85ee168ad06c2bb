//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A web application in a sandbox is one command away from a browser, and stays
// there. It has absolute URLs and a WebSocket, which only a name of its own can
// serve.
func TestExposedApplicationInABrowser(t *testing.T) {
	t.Parallel()
	g := started(t, "browser")
	g.CLI(t, "sandbox", "create", "--name", "app", "--detach", "--upload", "testdata/webapp.py:webapp.py", "--", "python3", "webapp.py", "8000").Exits(t, 0)
	url := strings.TrimSpace(g.CLI(t, "sandbox", "expose", "app", "8000").Exits(t, 0).Stdout)
	if want := fmt.Sprintf("http://app.localhost:%d/", g.Running(t).Settings.HTTPPort); url != want {
		t.Fatalf("the URL is %q, not %q", url, want)
	}
	visit := func(n int) {
		t.Helper()
		said := fmt.Sprintf(`<p id="said">ping answered, visit %d</p>`, n)
		page := browse(t, g, url)
		if !strings.Contains(page.Stdout, said) || !strings.Contains(page.Stdout, "<title>rgb(1, 2, 3)</title>") {
			t.Fatalf("the browser shows no %q in the application's style: %s", said, page)
		}
		t.Logf("shown in %s", page.Took.Round(time.Millisecond))
	}
	visit(1)
	g.CLI(t, "gateway", "stop").Exits(t, 0)
	g.Start(t)
	eventually(t, time.Minute, "the application is back", func() bool {
		return run(t, nil, "", "curl", "-fsS", "--output", "/dev/null", "--connect-to", "app.localhost::127.0.0.1:", url+"style.css").Code == 0
	})
	visit(2)

	// Its neighbour's page is of another origin, and no name of a stranger leads there.
	r := run(t, nil, "", "curl", "-sS", "--output", "/dev/null", "--write-out", "%{http_code}", "--header", "Host: evil.example", strings.Replace(url, "app.localhost", "127.0.0.1", 1))
	if !regexp.MustCompile(`^4|^000`).MatchString(r.Stdout) {
		t.Errorf("a strange host name is served: %s", r)
	}
	// A stopped one is told from one that is not there.
	g.CLI(t, "sandbox", "stop", "app").Exits(t, 0)
	if down := browse(t, g, url); !strings.Contains(down.Stdout, "app") || strings.Contains(down.Stdout, "answered") {
		t.Errorf("the page of a stopped sandbox does not name it: %s", down)
	}
}

// browse returns the document as it stands when everything of it has loaded.
func browse(t *testing.T, g *Gateway, url string) Result {
	t.Helper()
	return g.run(t, "", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--user-data-dir="+t.TempDir(), "--dump-dom", url).Exits(t, 0)
}
