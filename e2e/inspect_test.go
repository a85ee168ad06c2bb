//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openshell.ai/openshell/pkg/nodeapi"
)

// everything is all that a command must not change when it is said to change
// nothing: in Docker, in the cluster and on the host.
func (g *Gateway) everything(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{
		"container": g.Inspect(t, "{{.Id}} {{.State.StartedAt}} {{.RestartCount}} {{json .HostConfig}} {{json .Config}} {{json .NetworkSettings.Networks}}"),
		"network":   docker(t, "network", "inspect", "--format", "{{.Id}} {{json .Options}} {{json .Labels}}", g.Resource()),
		"volume":    docker(t, "volume", "inspect", "--format", "{{.CreatedAt}} {{json .Labels}}", g.Resource()),
		"settings":  g.Sh(t, "stat --format '%i %Y' "+nodeapi.SettingsFile),
		"remains":   strings.Join(g.remains(t), ", "),
	}
	var objects Objects
	eventually(t, time.Minute, "the StatefulSet's last report", func() bool {
		objects = g.Objects(t)
		return objects.Field("StatefulSet/openshell/openshell", "status", "readyReplicas") == "1"
	})
	kinds := []string{"Namespace", "Secret", "ConfigMap", "ServiceAccount", "Service", "StatefulSet", "PersistentVolumeClaim", "PersistentVolume"}
	for object, version := range objects.Versions(kinds...) {
		all[object] = version
	}
	// The kubelet may report on a pod whenever it likes.
	all["server"] = objects.Field("Pod/openshell/openshell-0", "metadata", "uid") +
		objects.Field("Pod/openshell/openshell-0", "status", "containerStatuses")
	for file, state := range g.hostFiles(t) {
		all[file] = state
	}
	return all
}

// same reports what changed between two looks at everything.
func same(t *testing.T, before, after map[string]string) {
	t.Helper()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("something changed (-before +after):\n%s", diff)
	}
}

// hostFiles is mode, time and checksum of every file of the configuration
// directory, but for locks.
func (g *Gateway) hostFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(g.Config, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".lock") {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		files[path] = fmt.Sprintf("%v %v %x", info.Mode(), info.ModTime(), sha256.Sum256(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// secretTexts are the forms in which the gateway's secrets could be found by
// mistake, by what they are of.
func (g *Gateway) secretTexts(t *testing.T) map[string]string {
	t.Helper()
	handshake := g.HandshakeSecret(t)
	if raw, err := hex.DecodeString(handshake); err != nil || len(raw) != 32 {
		t.Fatalf("the handshake secret has %d characters, not 64 in hex", len(handshake))
	}
	texts := map[string]string{
		"handshake secret":           handshake,
		"handshake secret in base64": base64.StdEncoding.EncodeToString([]byte(handshake)),
	}
	objects := g.Objects(t)
	for _, secret := range []string{"openshell-system/openshell-ca", "openshell/openshell-server-tls", "openshell/openshell-client-tls"} {
		encoded := objects.Field("Secret/"+secret, "data", "tls.key")
		key, err := base64.StdEncoding.DecodeString(encoded)
		block, _ := pem.Decode(key)
		if err != nil || block == nil {
			t.Fatalf("secret %s: no private key", secret)
		}
		texts["key of "+secret+" in base64"] = encoded[:200]
		texts["key of "+secret] = strings.Split(string(key), "\n")[1] // one line of the PEM
	}
	return texts
}

func testSecretsAreHidden(t *testing.T, g *Gateway) {
	secrets := g.secretTexts(t)
	places := map[string]string{
		"docker inspect":    docker(t, "container", "inspect", g.Resource()),
		"docker top":        docker(t, "top", g.Resource(), "-eo", "pid,args"),
		"docker history":    docker(t, "history", "--no-trunc", nodeImage(t)),
		"log of the node":   run(t, nil, "", "docker", "logs", g.Resource()).Exits(t, 0).String(),
		"command lines":     g.Sh(t, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),
		"environment of 1":  g.Sh(t, "cat /proc/1/environ"),
		"logs of pods":      g.Sh(t, "cat "+nodeapi.Current+"/logs/pods/*/*/*.log"),
		"events":            g.Kubectl(t, "get", "events", "--all-namespaces", "-o", "yaml"),
		"settings":          g.Sh(t, "cat "+nodeapi.SettingsFile),
		"status":            g.CLI(t, "gateway", "status", "-o", "json").Stdout,
		"info":              g.CLI(t, "gateway", "info", "-o", "json").Stdout,
		"logs":              g.CLI(t, "gateway", "logs").Stdout,
		"charts, manifests": g.Sh(t, "cat "+nodeapi.ManifestDir+"/* "+nodeapi.ChartDir+"/openshell/values.yaml"),
	}
	for key, object := range g.Objects(t) {
		if object.GetKind() == "Secret" {
			continue
		}
		text, err := object.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		places[key] = string(text)
	}
	for place, text := range places {
		for what, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s stands in %s", what, place)
			}
		}
	}
	// The texts to look for go in by stdin, so that this does not put them into
	// a command line itself. Who may look is the node's user with the fewest rights.
	var patterns strings.Builder
	for _, secret := range secrets {
		patterns.WriteString(secret + "\n")
	}
	const search = `patterns=$(cat); find /etc /opt /run /tmp /root /var/log ` + nodeapi.Current + ` -type f -readable -print0 2>/dev/null |
		xargs -0 grep -slF -f <(printf '%s\n' "$patterns") || true`
	found := run(t, g.Env(), patterns.String(), openshellBin,
		"gateway", "exec", "--", "chroot", "--userspec=65534:65534", "/", "bash", "-c", search).Exits(t, 0)
	for _, file := range strings.Fields(found.Stdout) {
		t.Errorf("a secret stands in %s, which everybody may read", file)
	}
}

// passing are the sysctls that change by themselves, or with every network and
// process on the host.
var passing = regexp.MustCompile(`^(fs/(aio-nr|dentry-state|file-nr|inode-nr|inode-state|quota/.*)` +
	`|kernel/(ns_last_pid|pty/nr|random/.*|perf_.*|tainted)` +
	`|net/netfilter/nf_conntrack_count` +
	`|net/(ipv4|ipv6)/(conf|neigh)/(?:br-|veth|docker|cni|eth)[^/]*/.*` +
	`|sunrpc/.*)$`)

// hostSysctls are the settings of the engine's kernel by path below /proc/sys.
// A container looks because the engine may be in a virtual machine.
func hostSysctls(t *testing.T) map[string]string {
	t.Helper()
	out := docker(t, "run", "--rm", "--network=host", "--ipc=host", "--uts=host",
		"--entrypoint", "sh", nodeImage(t), "-c", "cd /proc/sys && grep -rs . . || true")
	values := map[string]string{}
	for line := range strings.Lines(out) {
		path, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "./"), ":")
		if !passing.MatchString(path) {
			values[path] += value + "\n"
		}
	}
	// What a kubelet would set.
	for _, path := range []string{"kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory", "vm/panic_on_oom", "kernel/keys/root_maxkeys"} {
		if values[path] == "" {
			t.Fatalf("sysctl %s was not read, %d were", path, len(values))
		}
	}
	return values
}

// testHostSysctls compares those that there were: a kernel module that the
// engine or the node needs brings new ones.
func testHostSysctls(t *testing.T, before map[string]string) {
	after := hostSysctls(t)
	for path, value := range before {
		if now, ok := after[path]; ok && now != value {
			t.Errorf("%s was %q, is %q", path, value, now)
		}
	}
}
