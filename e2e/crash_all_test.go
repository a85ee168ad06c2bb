//go:build soak

package e2e

// everyPoint: each point is played in each way.
const everyPoint = true
