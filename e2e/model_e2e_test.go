//go:build e2e && !soak

package e2e

const (
	modelSequences = 1
	modelSteps     = 12
)
