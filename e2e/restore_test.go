//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	"openshell.ai/openshell/pkg/bootstrap"
	"openshell.ai/openshell/pkg/nodeapi"
)

// A state that was set aside waits on the volume, through another gateway's
// life in its place, and comes back as it was.
func TestRestore(t *testing.T) {
	t.Parallel()
	const aside = nodeapi.AsidePrefix + "20260102T030405Z"
	g := started(t, "restore")
	g.Keep(t)
	before := g.Fingerprint(t)
	port := g.Port

	stopped(t, g)
	docker(t, "container", "run", "--rm", "--network", "none", "--volume", g.Resource()+":"+nodeapi.VolumeRoot,
		"--entrypoint", nodeapi.Binary, nodeImage(t), nodeapi.CmdVolume, "set-aside", aside)
	status, code := g.Status(t)
	if code != 3 || status.Word != bootstrap.Unborn {
		t.Errorf("status with no present state: %q, exit code %d; want unborn, 3", status.Word, code)
	}
	g.listsAside(t, aside)
	g.CLI(t, "gateway", "restore", nodeapi.AsidePrefix+"20200102T030405Z").Exits(t, 1).Says(t, aside)
	// Whether it shall come back or an empty gateway begin is for the user to say.
	g.CLI(t, "gateway", "start").Exits(t, 7).Says(t, "openshell gateway restore "+aside)
	g.listsAside(t, aside)

	// Settings of a gateway that was never healthy say: begin.
	g.Port = freePort(t)
	g.OnVolume(t, "", fmt.Sprintf("mkdir current; jq 'del(.initialized) | .port = %d' %s/gateway.json >current/gateway.json", g.Port, aside))
	g.Start(t).Says(t, "states set aside stay")
	g.Running(t)
	objects := g.Objects(t)
	if objects[keptConfigMap] != nil || objects.Field(caSecret, "data", "tls.key") == before.Secrets["openshell-system/openshell-ca"]["tls.key"] {
		t.Error("the gateway in place of the one set aside is not a new one")
	}
	g.listsAside(t, aside)

	var restored struct{ PresentSetAsideAs string }
	g.CLI(t, "gateway", "restore", aside, "-o", "json").Exits(t, 0).JSON(t, &restored)
	if status, _ := g.Status(t); status.Word != bootstrap.Stopped {
		t.Errorf("status after restore: %q, want stopped", status.Word)
	}
	g.listsAside(t, restored.PresentSetAsideAs)
	g.Port = port
	g.Start(t)
	g.Same(t, before)
	g.listsAside(t, restored.PresentSetAsideAs)
	g.tidy(t)
}

// listsAside ends the test unless the status lists that one state.
func (g *Gateway) listsAside(t *testing.T, aside string) {
	t.Helper()
	status, _ := g.Status(t)
	if status.Volume == nil || len(status.Volume.Asides) != 1 || status.Volume.Asides[0].Name != aside {
		t.Fatalf("status lists %+v, want %s", status.Volume, aside)
	}
}
