//go:build e2e || soak || bench

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// runMark is in the environment of every process that a run of the tests
// starts, and of theirs.
const runMark = "OPENSHELL_E2E_RUN"

// hostWatch knows what of the host belongs to this run, so that it can be told
// what is left of it while others use the same host: whatever carries the run's
// id, and by Docker's events the ids behind such names.
type hostWatch struct {
	events *exec.Cmd
	tmp    string // the directory for temporary files of this run
	over   chan struct{}

	mu    sync.Mutex
	owned map[string]string // container ids, interfaces, mount points and namespaces: by whose they are
}

// watchHost begins to watch. The caller ends it.
func watchHost() (*hostWatch, error) {
	w := &hostWatch{owned: map[string]string{}, over: make(chan struct{}), tmp: filepath.Join(os.TempDir(), "e2e"+runID)}
	if err := os.Mkdir(w.tmp, 0o700); err != nil {
		return nil, err
	}
	for key, value := range map[string]string{"TMPDIR": w.tmp, runMark: runID} {
		if err := os.Setenv(key, value); err != nil {
			return nil, err
		}
	}
	w.events = exec.Command("docker", "events", "--since", strconv.FormatInt(time.Now().Unix(), 10), "--format", "{{json .}}",
		"--filter", "type=container", "--filter", "type=network")
	out, err := w.events.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.events.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(w.over)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			w.heard(lines.Bytes())
		}
	}()
	return w, nil
}

func (w *hostWatch) end() {
	_ = w.events.Process.Kill()
	<-w.over
	_ = w.events.Wait() // it was killed
	_ = os.RemoveAll(w.tmp)
}

func (w *hostWatch) heard(line []byte) {
	var event struct {
		Type, Action string
		Actor        struct {
			ID         string
			Attributes map[string]string
		}
	}
	if json.Unmarshal(line, &event) != nil {
		return
	}
	name, id := event.Actor.Attributes["name"], event.Actor.ID
	switch {
	case !strings.Contains(name, runID) || len(id) < 12:
	case event.Type == "network" && event.Action == "create":
		w.own(name, "br-"+id[:12])
	case event.Type == "container" && event.Action == "create":
		w.own(name, id)
	case event.Type == "container" && event.Action == "start":
		// What it has by now may be gone again, with the container.
		out, err := exec.Command("docker", "container", "inspect", "--format",
			"{{.NetworkSettings.SandboxKey}} {{.GraphDriver.Data.MergedDir}}", id).Output()
		if err == nil {
			w.own(name, strings.Fields(string(out))...)
		}
		for _, bridge := range w.all(name) {
			members, err := filepath.Glob("/sys/class/net/" + bridge + "/brif/*")
			for _, member := range members {
				if err == nil {
					w.own(name, filepath.Base(member))
				}
			}
		}
	}
}

func (w *hostWatch) own(name string, things ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, thing := range things {
		if thing = strings.TrimPrefix(thing, "/var/run"); len(thing) > 8 { // it points to /run
			w.owned[thing] = name
		}
	}
}

// all is what belongs to names that contain of.
func (w *hostWatch) all(of string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var things []string
	for thing, name := range w.owned {
		if strings.Contains(name, of) {
			things = append(things, thing)
		}
	}
	return things
}

// left is what there still is of names that contain of. A read error of what
// only root may see hides it.
func (w *hostWatch) left(of string) []string {
	marks := append(w.all(of), of)
	marked := func(text string) bool {
		return slices.ContainsFunc(marks, func(mark string) bool { return strings.Contains(text, mark) })
	}
	var left []string
	look := func(what string, lines []string) {
		for _, line := range lines {
			if marked(line) {
				left = append(left, what+": "+strings.TrimSpace(line))
			}
		}
	}
	for _, kind := range []string{"container", "volume", "network"} {
		look(kind, linesOf("docker", listArgs(kind, "name="+of)...))
	}
	look("image", linesOf("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"))
	look("interface", linesOf("ip", "-oneline", "link"))
	look("rule", linesOf("nft", "--stateless", "list", "ruleset"))
	look("rule", linesOf("iptables-save"))
	look("rule", linesOf("ip6tables-save"))
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	look("mount", strings.Split(string(mounts), "\n"))
	// Docker removes the files under /run/docker/netns when it comes to it; that
	// nothing is mounted there was looked at above.
	for _, glob := range []string{"/run/netns/*", "/run/*", "/sys/fs/cgroup/docker/*", "/sys/fs/cgroup/*/docker/*",
		"/sys/fs/cgroup/system.slice/docker-*", "/sys/fs/cgroup/*/system.slice/docker-*"} {
		found, _ := filepath.Glob(glob)
		look("there is", found)
	}
	return append(left, processes(marked)...)
}

// processes are those whose control group or environment is marked, without this
// one and those that wait for it.
func processes(marked func(string) bool) []string {
	expected := map[int]bool{}
	for pid := os.Getpid(); pid > 1; pid = parentOf(pid) {
		expected[pid] = true
	}
	var left []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || expected[pid] {
			continue
		}
		groups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		environment, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if !marked(string(groups)) && !marked(string(environment)) {
			continue
		}
		command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if words := strings.Fields(string(bytes.ReplaceAll(command, []byte{0}, []byte{' '}))); len(words) > 0 && !isDockerEvents(words) {
			left = append(left, fmt.Sprintf("process %d: %.200s", pid, strings.Join(words, " ")))
		}
	}
	return left
}

// isDockerEvents knows our own ear.
func isDockerEvents(words []string) bool {
	return len(words) > 1 && filepath.Base(words[0]) == "docker" && words[1] == "events"
}

func parentOf(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(status[bytes.LastIndexByte(status, ')')+1:]))
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return parent
}

// linesOf is what a command prints; nothing if it fails or is not there.
func linesOf(name string, args ...string) []string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// allGone gives what is ending a moment, and returns what is left after it.
func (w *hostWatch) allGone(of string) []string {
	const moment = 20 * time.Second
	for deadline := time.Now().Add(moment); ; time.Sleep(250 * time.Millisecond) {
		left := w.left(of)
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

// files are those of this run in the directory for temporary files. What a
// browser leaves is its own affair.
func (w *hostWatch) files() []string {
	entries, err := os.ReadDir(w.tmp)
	if err != nil {
		return []string{err.Error()}
	}
	var left []string
	for _, entry := range entries {
		if !strings.Contains(entry.Name(), "org.chromium.") {
			left = append(left, "temporary file: "+entry.Name())
		}
	}
	return left
}

// watched runs the tests and fails them when something of them is left on the
// host: resources of Docker, interfaces, rules, mounts, control groups,
// processes, files.
func watched(m *testing.M) (code int) {
	watch, err := watchHost()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e: the host cannot be watched:", err)
		return 1
	}
	defer watch.end()
	host = watch
	code = m.Run()
	if err := preparedData.remove(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	left := append(watch.allGone(runID), watch.files()...)
	for _, thing := range left {
		fmt.Fprintln(os.Stderr, "e2e: left behind:", thing)
	}
	if len(left) > 0 && code == 0 {
		code = 1
	}
	return code
}

// host is this run's, from the beginning to the end of it.
var host *hostWatch

// hostBaseline ends the test unless the host is as it was before the gateway,
// which was destroyed.
func (g *Gateway) hostBaseline(t testing.TB) {
	t.Helper()
	if left := host.allGone(string(g.Name)); len(left) > 0 {
		t.Fatalf("left on the host:\n%s", strings.Join(left, "\n"))
	}
}
