package controlplane

import (
	"fmt"
	"net/http"
	"sync"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/mux"
	"k8s.io/apiserver/pkg/server/routes"
	openapi "k8s.io/kube-openapi/pkg/common"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

const openAPIv2Path = "/openapi/v2"

// openAPIv2 is the description of the built-in API that old clients ask for.
// The API server would make it before it serves, a quarter of a second of a
// resume; here it is made for the first who asks.
type openAPIv2 struct {
	config *openapi.Config
}

// postponeOpenAPIv2 keeps the API server from making the description. Those of
// the servers around it, which are small, are made as ever, and merged with it
// when they are asked for.
func postponeOpenAPIv2(config *apiserver.Config) openAPIv2 {
	generic := config.KubeAPIs.ControlPlane.Generic
	later := openAPIv2{generic.OpenAPIConfig}
	generic.OpenAPIConfig = nil
	return later
}

// install offers the description at the server it belongs to.
func (o openAPIv2) install(target genericapiserver.DelegationTarget) error {
	server, ok := target.(*genericapiserver.GenericAPIServer)
	if !ok {
		return fmt.Errorf("the API server is a %T: it takes no %s", target, openAPIv2Path)
	}
	made := sync.OnceValue(func() http.Handler {
		answers := mux.NewPathRecorderMux("openapi-v2")
		routes.OpenAPI{Config: o.config}.InstallV2(server.Handler.GoRestfulContainer, answers)
		return answers
	})
	server.Handler.NonGoRestfulMux.HandleFunc(openAPIv2Path, func(w http.ResponseWriter, r *http.Request) {
		made().ServeHTTP(w, r)
	})
	return nil
}
