package edgecli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"openshell.ai/openshell/pkg/edge/client"
	"openshell.ai/openshell/pkg/edge/containers"
	"openshell.ai/openshell/pkg/edge/vpn"
)

func newVPNClient() *cobra.Command {
	cmd := &cobra.Command{Use: "client", Short: "Register and remove user containers"}
	cmd.AddCommand(newVPNClientAdd(), newVPNClientConfig(), newVPNClientRemove(), newVPNClientList())
	return cmd
}

func newVPNClientAdd() *cobra.Command {
	var to remotes
	var services []string
	var kind string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Register a container and print its package, which is secret",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			offered, err := parseServices(services)
			if err != nil {
				return err
			}
			return printPackage(cmd.OutOrStdout(), to, func() (containers.Container, string, error) {
				return containers.Open(stateDir()).Add(cmd.Context(), args[0], kind, offered)
			})
		},
	}
	cmd.Flags().StringArrayVar(&services, "service", nil, "HTTP service of the container, as `NAME:PORT`; may be repeated")
	cmd.Flags().StringVar(&kind, "kind", "", "`KIND` of the registration: container, or nothing")
	to.flags(cmd)
	return cmd
}

func newVPNClientConfig() *cobra.Command {
	var to remotes
	cmd := &cobra.Command{
		Use:   "config ID|NAME",
		Short: "Print a new package with a new token; the old ones end",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var c containers.Container
			err := printPackage(cmd.OutOrStdout(), to, func() (_ containers.Container, token string, err error) {
				c, token, err = containers.Open(stateDir()).Rotate(cmd.Context(), args[0])
				return c, token, err
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "container %s has a new token: packages from before are refused\n", c.Name)
			disconnect(cmd, c)
			return nil
		},
	}
	to.flags(cmd)
	return cmd
}

// disconnect ends a connection that the registry does not allow any more. What was
// asked for is done by then: a caller that took a failure for one of the command
// would throw away the only copy of a package.
func disconnect(cmd *cobra.Command, c containers.Container) {
	if err := vpn.Disconnect(cmd.Context(), runDir(), c.ID); err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "container %s cannot join with what it had, but its connection was not ended: %v\n", c.Name, err)
	}
}

func newVPNClientRemove() *cobra.Command {
	return &cobra.Command{
		Use:   "rm ID|NAME",
		Short: "Remove a container, and end its connection",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := containers.Open(stateDir()).Remove(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			disconnect(cmd, c)
			return printJSON(cmd.OutOrStdout(), withoutSecrets(c))
		},
	}
}

func newVPNClientList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Print the registered containers as JSON",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := containers.Open(stateDir()).List()
			if err != nil {
				return err
			}
			list := make([]listed, 0, len(all))
			for _, c := range all {
				list = append(list, withoutSecrets(c))
			}
			return printJSON(cmd.OutOrStdout(), list)
		},
	}
}

// remotes is where a package says that the VPN is.
type remotes struct {
	hosts []string
	port  uint16
}

func (r *remotes) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&r.hosts, "remote", nil, "`HOST` where the VPN is reached; may be repeated (default: GATEWAY_FQDN, or this host's name)")
	cmd.Flags().Uint16Var(&r.port, "port", 0, "UDP `port` there (default: the one that the VPN is on)")
}

func (r *remotes) list() ([]client.Remote, error) {
	hosts, port := r.hosts, r.port
	if len(hosts) == 0 {
		name := os.Getenv("GATEWAY_FQDN")
		if name == "" {
			var err error
			if name, err = os.Hostname(); err != nil {
				return nil, err
			}
		}
		hosts = []string{name}
	}
	if port == 0 {
		server, err := vpn.ServerIn(runDir())
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errors.New("the VPN does not run: name its port with --port, or start it first")
		}
		if err != nil {
			return nil, err
		}
		port = server.Port
	}
	var all []client.Remote
	for _, host := range hosts {
		remote := client.Remote{Host: host, Port: port}
		if err := client.CheckRemote(remote); err != nil {
			return nil, err
		}
		all = append(all, remote)
	}
	return all, nil
}

// printPackage has a token made when all else that a package needs is there.
func printPackage(w io.Writer, to remotes, token func() (containers.Container, string, error)) error {
	list, err := to.list()
	if err != nil {
		return err
	}
	keys, err := vpn.ClientKeys(stateDir())
	if err != nil {
		return err
	}
	c, secret, err := token()
	if err != nil {
		return err
	}
	p, err := client.NewPackage(c, secret, keys, list)
	if err != nil {
		return err
	}
	return printJSON(w, p)
}

func parseServices(texts []string) ([]containers.Service, error) {
	var services []containers.Service
	for _, text := range texts {
		host, digits, err := net.SplitHostPort(text)
		if err != nil {
			return nil, fmt.Errorf("service %.80q is not of the form NAME:PORT", text)
		}
		port, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || port == 0 {
			return nil, fmt.Errorf("port of service %.80q is not 1 to 65535", text)
		}
		services = append(services, containers.Service{Host: host, Port: uint16(port)})
	}
	return services, containers.CheckServices(services)
}

func printJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}
