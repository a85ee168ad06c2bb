// Package nginx makes nginx's configuration from the services that it leads to,
// and puts it into effect without losing a request.
package nginx

import "path/filepath"

// MaxServices is how many services one update may hold.
const MaxServices = 4096

// Program is Debian's nginx.
const Program = "/usr/sbin/nginx"

// Names in the run directory.
const (
	mainFile       = "nginx.conf"        // what nginx is started with
	pidFile        = "nginx.pid.raw"     // written by nginx
	recordFile     = "nginx.pid"         // pid and start time, written when nginx was started
	statusSocket   = "nginx-status.sock" // of nginx
	activitySocket = "activity.sock"     // of app-gateway
	lockFile       = "nginx.lock"
)

// Paths that nginx serves on its status socket.
const (
	GenerationPath = "/generation"
	StatusPath     = "/stub_status"
)

// StatusSocket is where nginx itself answers: the configuration that it serves
// at GenerationPath, and its open connections at StatusPath.
func StatusSocket(run string) string { return filepath.Join(run, statusSocket) }

// ActivitySocket is where nginx sends one datagram in syslog's form for every
// request that ends and counts as activity. Its message is the name of the
// service, or "collab". nginx does not mind when nobody listens.
func ActivitySocket(run string) string { return filepath.Join(run, activitySocket) }
