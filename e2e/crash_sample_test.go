//go:build e2e && !soak

package e2e

// everyPoint: a sample is played.
const everyPoint = false
