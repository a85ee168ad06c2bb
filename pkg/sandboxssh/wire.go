package sandboxssh

// Payloads of requests on a session, as RFC 4254 has them.
type (
	subsystem struct{ Name string }

	ptyRequest struct {
		Term                      string
		Cols, Rows, Width, Height uint32
		Modes                     string
	}

	windowChange struct{ Cols, Rows, Width, Height uint32 }

	setenv struct{ Name, Value string }

	signalRequest struct{ Name string }

	exitStatus struct{ Code uint32 }

	exitSignal struct {
		Name       string
		CoreDumped bool
		Message    string
		Language   string
	}
)

// signalNumbers are those of Linux, wherever the client runs: an exit code is
// the sandbox's.
func signalNumber(name string) int {
	switch name {
	case "HUP":
		return 1
	case "INT":
		return 2
	case "QUIT":
		return 3
	case "ILL":
		return 4
	case "ABRT":
		return 6
	case "FPE":
		return 8
	case "KILL":
		return 9
	case "USR1":
		return 10
	case "SEGV":
		return 11
	case "USR2":
		return 12
	case "PIPE":
		return 13
	case "ALRM":
		return 14
	case "TERM":
		return 15
	}
	return 0
}
