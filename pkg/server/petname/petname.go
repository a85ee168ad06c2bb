// Package petname draws names that people can say and remember.
package petname

import "math/rand/v2"

// Draw answers two words, such as "amber-otter", of letters and one dash.
func Draw() string {
	adjectives, animals := adjectives(), animals()
	return adjectives[rand.IntN(len(adjectives))] + "-" + animals[rand.IntN(len(animals))]
}
