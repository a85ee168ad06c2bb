package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// classify gives err its kind. The engine has no error codes beyond the HTTP
// status, so the words of its messages decide, those of Docker 20.10 to 29 and
// of Docker Desktop.
func classify(op string, err error) (kind Kind, port int) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Other, 0
	}
	if unanswered(err) {
		return Unreachable, 0
	}
	msg := strings.ToLower(err.Error())
	switch {
	case portTaken(msg):
		return PortInUse, portIn(msg)
	case has(msg, "no space left on device", "disk quota exceeded", "not enough space on the disk"):
		return NoSpace, 0
	case has(msg, "pool overlaps with other one", "networks have overlapping ipv4", "networks have overlapping ipv6"):
		return SubnetTaken, 0
	case op == opStart && missingNetwork.MatchString(msg):
		return NetworkMissing, 0
	case has(msg, "already in use by container") || nameTaken.MatchString(msg):
		return Conflict, 0
	case has(msg, "volume is in use", "has active endpoints", "is being used by", "is using its referenced image"):
		return InUse, 0
	case op == opReadFile && cerrdefs.IsNotFound(err) && !has(msg, "no such container"):
		return FileNotFound, 0
	case has(msg, "no such exec instance", "cannot join network of a non running container") || notRunning.MatchString(msg):
		return NotRunning, 0
	case cerrdefs.IsNotFound(err):
		return NotFound, 0
	}
	return Other, 0
}

func has(msg string, any ...string) bool {
	for _, s := range any {
		if strings.Contains(msg, s) {
			return true
		}
	}
	return false
}

// unanswered reports a broken or refused connection, and the answers of the
// proxy that Docker Desktop puts before an engine that is not up.
func unanswered(err error) bool {
	var netErr *net.OpError
	return client.IsErrConnectionFailed(err) || errors.As(err, &netErr) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) || cerrdefs.IsUnavailable(err)
}

var (
	missingNetwork = regexp.MustCompile(`network \S+ not found`)
	nameTaken      = regexp.MustCompile(`(network with name|endpoint with name|volume with the name|volume name) \S+ already exists`)
	notRunning     = regexp.MustCompile(`container \S+ is (not running|paused|restarting)`)
)

// portTaken wants a word of binding beside "address already in use", because
// the engine says the same of a container's own address.
func portTaken(msg string) bool {
	if has(msg, "port is already allocated", "ports are not available", "eaddrinuse") {
		return true
	}
	return has(msg, "address already in use", "only one usage of each socket address") && has(msg, "bind", "listen", "port")
}

// ports are the forms in which the engine names a host port, the host's
// address before it: 1.2.3.4, [::1] or nothing.
var ports = []*regexp.Regexp{
	regexp.MustCompile(`bind for \S*?:(\d{1,5})(?: failed|: )`), // ":::8080" over IPv6
	regexp.MustCompile(`exposing port (?:tcp|udp) (?:\[[^\]]*\]|[^\s:\[\]]*):(\d{1,5})\b`),
	regexp.MustCompile(`listen (?:tcp|udp)[46]? (?:\[[^\]]*\]|[^\s:\[\]]*):(\d{1,5})\b`),
	regexp.MustCompile(`host port(?: for)? (?:\[[^\]]*\]|[^\s:\[\]]*):(\d{1,5})\b`),
}

// portIn is the host port a lower-case message names, or 0.
func portIn(msg string) int {
	for _, re := range ports {
		m := re.FindStringSubmatch(msg)
		if m == nil {
			continue
		}
		if port, err := strconv.Atoi(m[1]); err == nil && port >= 1 && port <= 65535 {
			return port
		}
	}
	return 0
}
