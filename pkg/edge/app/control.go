package app

import (
	"net"
	"net/http"
	"os"
	"time"

	"openshell.ai/openshell/pkg/edge"
	"openshell.ai/openshell/pkg/edge/edgeapi"
)

// control is what root may ask on the control socket.
func (a *App) control() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(edgeapi.RoutesPath, a.endpoint(http.MethodGet, func(*http.Request) (any, error) { return a.table.Routes(), nil }))
	mux.Handle(edgeapi.VPNPath, a.endpoint(http.MethodGet, func(*http.Request) (any, error) { return a.vpn() }))
	mux.Handle(edgeapi.StatePath, a.endpoint(http.MethodGet, func(*http.Request) (any, error) { return a.state(), nil }))
	mux.HandleFunc("/", notFound)
	return mux
}

// listenControl opens the socket, for which the process' umask must keep others
// out from the beginning. One that is there is of a process that ended: the port
// has only one owner.
func (a *App) listenControl() (net.Listener, error) {
	path := a.config.run(edge.ControlSocket)
	if err := os.RemoveAll(path); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// vpn adds the services that containers reported.
func (a *App) vpn() (edgeapi.VPN, error) {
	status, err := a.parts.VPN.Status()
	if err != nil {
		return edgeapi.VPN{}, err
	}
	services := map[string][]edgeapi.VPNService{}
	for _, route := range a.table.Routes() {
		if route.Kind == edgeapi.KindContainer {
			services[route.OwnerID] = append(services[route.OwnerID], edgeapi.VPNService{Host: route.Host, Port: route.Port})
		}
	}
	for i, client := range status.Clients {
		if reported, ok := services[client.ID]; ok {
			status.Clients[i].Services = reported
		}
	}
	return status, nil
}

func (a *App) state() edgeapi.State {
	state, config := a.machine.State()
	idle, left, counting := a.machine.Idle()
	doc := edgeapi.State{
		GatewayID: a.config.GatewayID, Build: a.parts.Build, State: state, Epoch: config.Epoch, Organization: config.Organization,
		StandAlone: a.config.standAlone(), IdleSeconds: int64(idle / time.Second), Problems: a.table.Problems(),
	}
	if counting {
		seconds := int64(left / time.Second)
		doc.ResetInSeconds = &seconds
	}
	for _, route := range a.table.Routes() {
		if route.State == edgeapi.RouteLive {
			doc.Routes++
		}
	}
	if err := a.applier.Problem(); err != nil {
		doc.Problems = append(doc.Problems, err.Error())
	}
	if a.deliverer != nil {
		if waiting, err := a.spool.Entries(); err == nil {
			doc.Spooled = len(waiting)
		} else {
			doc.Problems = append(doc.Problems, err.Error())
		}
	}
	return doc
}
