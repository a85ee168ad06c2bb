// Package app is app-gateway: what user containers and the control plane talk to
// behind nginx, and what keeps nginx's routes.
package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/push"
)

const (
	defaultInactivity = 5 * time.Minute
	defaultWatchdog   = 30 * time.Second
)

// Config is what a gateway is given.
type Config struct {
	GatewayID string
	Hostname  string // its public name, for the control plane
	Address   string // to listen on, behind nginx
	Scripts   string // directory of main.sh

	State         string // directory on the volume
	Run           string // directory that ends with the container
	ProjectConfig string
	NginxConfig   string       // the live one
	Pods          netip.Prefix // where sandboxes are; the zero value: nowhere

	ControlPlane string // its URL; empty: stand-alone
	TokenFile    string // the gateway's token for it
	StartKeyFile string // verifies what it starts

	Origins    []string // of pages that may ask
	Inactivity time.Duration
	Watchdog   time.Duration
}

// ConfigFrom reads the environment.
func ConfigFrom(getenv func(string) string) (Config, error) {
	or := func(name, otherwise string) string {
		if value := getenv(name); value != "" {
			return value
		}
		return otherwise
	}
	c := Config{
		GatewayID: getenv("GATEWAY_ID"), Hostname: getenv("GATEWAY_FQDN"), Address: edge.AppAddress,
		Scripts: edge.Scripts, State: or("GATEWAY_STATE", edge.StateDir), Run: or("GATEWAY_RUN", edge.RunDir),
		ProjectConfig: edge.ProjectConfig, NginxConfig: or("NGINX_CONFIG", edge.NginxConfig),
		ControlPlane: strings.TrimRight(getenv("GANYMEDE_URL"), "/"),
		TokenFile:    getenv("GATEWAY_TOKEN_FILE"), StartKeyFile: getenv("GATEWAY_START_KEY_FILE"),
	}
	if host := getenv("GANYMEDE_FQDN"); c.ControlPlane == "" && host != "" {
		c.ControlPlane = "https://" + host
	}
	var errs [5]error
	c.Origins, errs[0] = parseOrigins(or("ALLOWED_ORIGINS", "[]"))
	c.Inactivity, errs[1] = parseDuration(getenv, "GATEWAY_INACTIVITY", defaultInactivity)
	c.Watchdog, errs[2] = parseDuration(getenv, "GATEWAY_WATCHDOG", defaultWatchdog)
	if errs[2] == nil && c.Watchdog == 0 {
		errs[2] = errors.New("GATEWAY_WATCHDOG is 0: give a duration such as 30s")
	}
	if cidr := getenv("GATEWAY_POD_CIDR"); cidr != "" {
		if c.Pods, errs[3] = netip.ParsePrefix(cidr); errs[3] != nil {
			errs[3] = fmt.Errorf("GATEWAY_POD_CIDR is %q: give a network such as 10.208.0.0/20", cidr)
		}
	}
	errs[4] = c.checkControlPlane()
	return c, errors.Join(errs[:]...)
}

func (c Config) checkControlPlane() error {
	switch {
	case c.standAlone():
		return nil
	case c.GatewayID == "":
		return errors.New("GATEWAY_ID is not set: the control plane knows the gateway by it")
	case c.TokenFile == "":
		return errors.New("GATEWAY_TOKEN_FILE is not set: give the file of the gateway's token for the control plane")
	}
	return push.CheckBase(c.ControlPlane)
}

func (c Config) standAlone() bool { return c.ControlPlane == "" }

func (c Config) run(name string) string   { return filepath.Join(c.Run, filepath.Base(name)) }
func (c Config) state(name string) string { return filepath.Join(c.State, filepath.Base(name)) }

func parseDuration(getenv func(string) string, name string, otherwise time.Duration) (time.Duration, error) {
	text := getenv(name)
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%s is %q: give a duration such as 30s or 5m", name, text)
	}
	return d, nil
}

func parseOrigins(text string) ([]string, error) {
	var origins []string
	if err := json.Unmarshal([]byte(text), &origins); err != nil {
		return nil, fmt.Errorf(`ALLOWED_ORIGINS is %q: give a JSON list such as ["https://example.org"]`, text)
	}
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || origin != u.Scheme+"://"+strings.ToLower(u.Host) {
			return nil, fmt.Errorf("ALLOWED_ORIGINS has %q: give origins such as https://example.org or http://localhost:3000", origin)
		}
	}
	return origins, nil
}
