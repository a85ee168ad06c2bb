//go:build soak

package e2e

const (
	modelSequences = 24
	modelSteps     = 15
)
