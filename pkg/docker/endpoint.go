package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"openshell.ai/openshell/pkg/fault"
)

// endpoint is where an engine listens, and what named it.
type endpoint struct {
	host   string // unix:///var/run/docker.sock, npipe:////./pipe/docker_engine
	source string // for hints: "DOCKER_HOST", `the Docker context "colima"`
}

// discover follows the order of the docker command: DOCKER_HOST beats
// DOCKER_CONTEXT beats the current context; the context "default" and none at
// all mean the usual sockets.
func discover(getenv func(string) string, goos string) (endpoint, error) {
	if host := getenv("DOCKER_HOST"); host != "" {
		return local(host, "DOCKER_HOST")
	}
	dir := getenv("DOCKER_CONFIG")
	if dir == "" {
		dir = filepath.Join(home(getenv, goos), ".docker")
	}
	name, source := getenv("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
	if name == "" {
		file := filepath.Join(dir, "config.json")
		source = file
		data, err := os.ReadFile(file)
		if err == nil {
			name, err = currentContext(data)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return endpoint{}, fault.New(fault.DockerUnreachable, fault.ExitUnreachable,
				"the Docker configuration %s cannot be read", file).
				Hint("repair that file, or set DOCKER_HOST").Because(err)
		}
	}
	if name == "" || name == "default" {
		return firstSocket(sockets(getenv, goos), goos)
	}
	host, err := contextHost(dir, name)
	if err != nil {
		return endpoint{}, fault.New(fault.DockerUnreachable, fault.ExitUnreachable,
			"the Docker context %q named by %s cannot be used", name, source).
			Hint("`docker context ls` lists the contexts, `docker context use default` leaves this one").Because(err)
	}
	if host == "" {
		return firstSocket(sockets(getenv, goos), goos)
	}
	return local(host, fmt.Sprintf("the Docker context %q", name))
}

func home(getenv func(string) string, goos string) string {
	if goos == "windows" {
		return getenv("USERPROFILE")
	}
	return getenv("HOME")
}

// local accepts the endpoints of an engine on this machine.
func local(host, source string) (endpoint, error) {
	scheme, rest, ok := strings.Cut(host, "://")
	switch {
	case ok && rest != "" && (scheme == "unix" || scheme == "npipe"):
		return endpoint{host, source}, nil
	case ok && (scheme == "ssh" || scheme == "tcp" || scheme == "http" || scheme == "https"):
		return endpoint{}, fault.New(fault.DockerRemote, fault.ExitUnreachable,
			"%s names the engine %s; only an engine on this machine is supported", source, redact(host)).
			Hint("set DOCKER_HOST to a unix:// or npipe:// endpoint")
	}
	return endpoint{}, fault.New(fault.DockerUnreachable, fault.ExitUnreachable,
		"%s is %q; accepted are unix:///path and npipe:////./pipe/name", source, redact(host)).
		Hint("unset DOCKER_HOST to use the local engine")
}

// redact removes user information, which may hold a password.
func redact(host string) string {
	scheme, rest, ok := strings.Cut(host, "://")
	if !ok {
		return host
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	return scheme + "://" + rest
}

// currentContext reads config.json of the docker command: {"currentContext": "colima"}.
func currentContext(data []byte) (string, error) {
	var cfg struct {
		CurrentContext string `json:"currentContext"`
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		return "", nil // an empty file is what the docker command takes as no settings
	}
	err := json.Unmarshal(data, &cfg)
	return cfg.CurrentContext, err
}

// contextHost reads a context of the docker command's store, a directory named
// by the SHA-256 of the context's name. "" is a context without an endpoint.
func contextHost(dir, name string) (string, error) {
	sum := sha256.Sum256([]byte(name))
	data, err := os.ReadFile(filepath.Join(dir, "contexts", "meta", hex.EncodeToString(sum[:]), "meta.json"))
	if err != nil {
		return "", err
	}
	return metaHost(data)
}

// metaHost reads meta.json: {"Endpoints": {"docker": {"Host": "unix:///…"}}}.
func metaHost(data []byte) (string, error) {
	var meta struct {
		Endpoints map[string]struct{ Host string }
	}
	if err := json.Unmarshal(data, &meta); err != nil {
		return "", fmt.Errorf("meta.json: %w", err)
	}
	return meta.Endpoints["docker"].Host, nil
}

// firstSocket picks the first that exists, whether or not it answers: with
// another engine in its place a gateway would look absent.
func firstSocket(candidates []string, goos string) (endpoint, error) {
	for _, path := range candidates {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return endpoint{scheme(goos) + filepath.ToSlash(path), "the usual places of its socket"}, nil
		}
	}
	return endpoint{}, fault.New(fault.DockerUnreachable, fault.ExitUnreachable,
		"no Docker Engine was found at %s", scheme(goos)+filepath.ToSlash(candidates[0])).
		Hint("start Docker, or install it").
		Hint("for an engine in another place set DOCKER_HOST or run `docker context use`").
		Because(fmt.Errorf("no socket at %s", strings.Join(candidates, ", ")))
}

func scheme(goos string) string {
	if goos == "windows" {
		return "npipe://"
	}
	return "unix://"
}

// sockets are the places where engines listen: Docker Engine, rootless Docker,
// Docker Desktop, Colima, Rancher Desktop and OrbStack.
func sockets(getenv func(string) string, goos string) []string {
	if goos == "windows" {
		return []string{`//./pipe/docker_engine`, `//./pipe/dockerDesktopLinuxEngine`}
	}
	out := []string{"/var/run/docker.sock"}
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		out = append(out, filepath.Join(dir, "docker.sock"))
	}
	h := home(getenv, goos)
	if h == "" {
		return out
	}
	for _, p := range []string{
		".docker/run/docker.sock", ".docker/desktop/docker.sock", ".colima/default/docker.sock", ".colima/docker.sock",
		".rd/docker.sock", ".orbstack/run/docker.sock",
	} {
		out = append(out, filepath.Join(h, p))
	}
	return out
}
