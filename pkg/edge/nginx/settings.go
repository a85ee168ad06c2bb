package nginx

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Settings are what a configuration is made from beside the services.
type Settings struct {
	Port    uint16       // of services and app-gateway, on all addresses
	Hosts   []string     // names that requests may be for, beside addresses and services' own
	Pods    netip.Prefix // where services may be beside the VPN; the zero value: nowhere
	TLSCert string       // files of the gateway's certificate; empty: plain HTTP
	TLSKey  string
	Live    string // the configuration of nginx
	Run     string // directory that ends with the container
	Log     string // of nginx
	Program string
}

// SettingsFrom reads the settings from the environment of the scripts.
func SettingsFrom(getenv func(string) string) (Settings, error) {
	s := Settings{
		TLSCert: getenv("GATEWAY_TLS_CERT"), TLSKey: getenv("GATEWAY_TLS_KEY"),
		Live: getenv("NGINX_CONFIG"), Run: getenv("GATEWAY_RUN"), Program: Program,
	}
	s.Log = filepath.Join(filepath.Dir(getenv("LOG_FILE")), "nginx.log")
	port, err := strconv.ParseUint(getenv("APP_GATEWAY_PORT"), 10, 16)
	if err != nil || port == 0 {
		return Settings{}, fmt.Errorf("APP_GATEWAY_PORT is %q: give a port from 1 to 65535", getenv("APP_GATEWAY_PORT"))
	}
	s.Port = uint16(port)
	if text := getenv("GATEWAY_POD_CIDR"); text != "" {
		if s.Pods, err = netip.ParsePrefix(text); err != nil || !s.Pods.Addr().Is4() {
			return Settings{}, fmt.Errorf("GATEWAY_POD_CIDR is %q: give an IPv4 network such as 10.208.0.0/20", text)
		}
	}
	if s.Hosts, err = hosts(getenv); err != nil {
		return Settings{}, err
	}
	return s, errors.Join(s.checkFiles(), s.checkTLS())
}

var domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// hosts are the names that every gateway has and those of GATEWAY_ALLOWED_HOSTS
// and GATEWAY_FQDN. Addresses and services' own names are accepted anyhow.
func hosts(getenv func(string) string) ([]string, error) {
	names := []string{"host.docker.internal", "localhost"}
	for _, variable := range []string{"GATEWAY_ALLOWED_HOSTS", "GATEWAY_FQDN"} {
		for name := range strings.FieldsFuncSeq(getenv(variable), func(r rune) bool { return r == ',' || r == ' ' }) {
			if _, err := netip.ParseAddr(name); err == nil {
				continue
			}
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			if !domainName.MatchString(name) || len(name) > 253 {
				return nil, fmt.Errorf("%s has %q: give host names without ports, separated by commas", variable, name)
			}
			if !strings.HasSuffix(name, ".localhost") {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// plainPath is a path that means itself in a configuration.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9/._-]+$`)

func (s Settings) checkFiles() error {
	for _, file := range []struct{ variable, path string }{
		{"NGINX_CONFIG", s.Live}, {"GATEWAY_RUN", s.Run}, {"LOG_FILE", s.Log}, {"GATEWAY_TLS_CERT", s.TLSCert}, {"GATEWAY_TLS_KEY", s.TLSKey},
	} {
		optional := strings.HasPrefix(file.variable, "GATEWAY_TLS_")
		if !plainPath.MatchString(file.path) && (!optional || file.path != "") {
			return fmt.Errorf("%s is or leads to %q: give an absolute path of letters, digits, '.', '_' and '-'", file.variable, file.path)
		}
	}
	return nil
}

func (s Settings) checkTLS() error {
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return errors.New("GATEWAY_TLS_CERT and GATEWAY_TLS_KEY belong together: give both or neither")
	}
	if s.TLSCert == "" {
		return nil
	}
	for variable, path := range map[string]string{"GATEWAY_TLS_CERT": s.TLSCert, "GATEWAY_TLS_KEY": s.TLSKey} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%s: %w", variable, err)
		}
	}
	return nil
}
