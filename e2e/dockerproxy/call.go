package dockerproxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// maxBody bounds the bodies that are read for the name of a call.
const maxBody = 1 << 20

// call is a Call, and what is to be learnt from the engine's answer to it.
type call struct {
	Call
	learn func(answer []byte)
}

var anID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// identify names a request. body is what was read of it to do so, all of it;
// nil: nothing.
func (p *Proxy) identify(r *http.Request) (c *call, body []byte, err error) {
	_, path := splitVersion(r.URL.Path)
	c = &call{}
	c.Effect = r.Method != http.MethodGet && r.Method != http.MethodHead
	name := path
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case !c.Effect:
	case path == "/containers/create":
		container := r.URL.Query().Get("name")
		name += " " + container
		c.learn = func(answer []byte) {
			if id := createdID(answer); id != "" && container != "" {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.names[id] = container
			}
		}
	case len(parts) == 3 && parts[0] == "containers" && parts[2] == "exec":
		if body, err = io.ReadAll(io.LimitReader(r.Body, maxBody)); err != nil {
			return nil, nil, err
		}
		var spec struct{ Cmd []string }
		if err := json.Unmarshal(body, &spec); err != nil {
			return nil, nil, fmt.Errorf("exec: %w", err)
		}
		e := execed{p.nameOf(parts[1]), spec.Cmd}
		name = fmt.Sprintf("/containers/%s/exec: %s", e.container, strings.Join(e.argv, " "))
		c.learn = func(answer []byte) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.execs[createdID(answer)] = e
		}
	case len(parts) == 3 && parts[0] == "exec":
		p.mu.Lock()
		e := p.execs[parts[1]]
		p.mu.Unlock()
		name = fmt.Sprintf("/exec/%s %s: %s", parts[2], e.container, strings.Join(e.argv, " "))
	case len(parts) >= 2 && parts[0] == "containers":
		parts[1] = p.nameOf(parts[1])
		name = "/" + strings.Join(parts, "/")
		if len(parts) == 3 && parts[2] == "archive" {
			name += " " + r.URL.Query().Get("path")
		}
	}
	c.Name = r.Method + " " + name
	if p.opts.Rename != nil {
		c.Name = p.opts.Rename(c.Name)
	}
	return c, body, nil
}

func createdID(answer []byte) string {
	// An answer without an id is one of a failure.
	var created struct{ ID string }
	_ = json.Unmarshal(answer, &created)
	return created.ID
}

// nameOf is a container's name. The engine is asked about an id that has not
// passed by; one it does not know either stays.
func (p *Proxy) nameOf(ref string) string {
	if !anID.MatchString(ref) {
		return ref
	}
	p.mu.Lock()
	name, known := p.names[ref]
	p.mu.Unlock()
	if known {
		return name
	}
	res, err := p.get("/containers/" + ref + "/json")
	if err != nil {
		return ref
	}
	defer res.Body.Close()
	var container struct{ Name string }
	if json.NewDecoder(res.Body).Decode(&container) != nil || container.Name == "" {
		return ref
	}
	name = strings.TrimPrefix(container.Name, "/")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names[ref] = name
	return name
}
