package nginx

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the templates
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"openshell.ai/openshell/pkg/edge"
)

//go:embed main.conf.tmpl
var mainTemplate string

//go:embed reverse-proxy.conf.tmpl
var liveTemplate string

// Config is what nginx reads, and its name.
type Config struct {
	Main       string // at run/nginx.conf; includes Live
	Live       string // at NGINX_CONFIG
	Generation string // answered by the nginx that serves it
}

// Render makes a configuration. The same settings and services, in any order,
// make the same one.
func Render(s Settings, services []edge.Service) (Config, error) {
	sorted := slices.Clone(services)
	slices.SortFunc(sorted, func(a, b edge.Service) int { return strings.Compare(a.Host, b.Host) })
	main, err := renderMain(s, s.Live, pidFile)
	if err != nil {
		return Config{}, err
	}
	data := struct {
		Settings
		Services                       []edge.Service
		App, VPNGateway, Activity, SSL string
	}{s, sorted, edge.AppAddress, edge.VPNGateway, ActivitySocket(s.Run), ""}
	if s.TLSCert != "" {
		data.SSL = " ssl"
	}
	live, err := execute(liveTemplate, data)
	if err != nil {
		return Config{}, err
	}
	sum := sha256.Sum256([]byte(main + live))
	generation := hex.EncodeToString(sum[:])
	live += fmt.Sprintf(`
server {
	listen unix:%s;
	access_log off;
	location = %s {
		return 200 %s;
	}
	location = %s {
		stub_status;
	}
}
`, StatusSocket(s.Run), GenerationPath, generation, StatusPath)
	return Config{Main: main, Live: live, Generation: generation}, nil
}

// renderMain makes a main configuration around a live one or a candidate.
func renderMain(s Settings, live, pid string) (string, error) {
	return execute(mainTemplate, struct{ PID, Log, Live string }{filepath.Join(s.Run, pid), s.Log, live})
}

func execute(text string, data any) (string, error) {
	parsed, err := template.New("").Parse(text)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, data); err != nil {
		return "", err
	}
	return out.String(), nil
}
