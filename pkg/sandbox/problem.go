package sandbox

// Reasons of the condition Ready. Those of a container are the kubelet's own.
const (
	reasonReady         = "SupervisorAnswers"
	reasonProvisioning  = "Provisioning"
	reasonConnecting    = "Connecting"
	reasonStopping      = "Stopping"
	reasonStopped       = "Stopped"
	reasonDeleting      = "Deleting"
	reasonRestarting    = "Restarting"
	reasonUnschedulable = "Unschedulable"
	reasonOOMKilled     = "OOMKilled"
	reasonCrashes       = "CrashLoopBackOff"
	reasonHostKey       = "HostKeyLost"
	reasonSecret        = "SecretLost"
	reasonClaim         = "WorkspaceLost"
	reasonRefused       = "Refused"
)

// problem is why a sandbox is not ready, in words for its user.
type problem struct {
	reason  string
	message string // one sentence
	lasting bool   // it does not heal by itself
}

func (p problem) Error() string { return p.message }

// lost is what the sandbox cannot do without and nothing can bring back.
func lost(reason, message string) problem {
	return problem{reason: reason, message: message, lasting: true}
}
