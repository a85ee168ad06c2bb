package usercontainer

import (
	"regexp"
	"strings"
)

const (
	longestBase = 50 // leaves room for a number
	anyName     = "container"
)

var noLabel = regexp.MustCompile(`[^a-z0-9]+`)

// nameAfter makes a DNS label of the last part of an image's name.
func nameAfter(image string) string {
	image, _, _ = strings.Cut(image, "@")
	image = image[strings.LastIndexByte(image, '/')+1:]
	image, _, _ = strings.Cut(image, ":")
	label := strings.Trim(noLabel.ReplaceAllString(strings.ToLower(image), "-"), "-")
	if label = strings.Trim(label[:min(longestBase, len(label))], "-"); label == "" {
		return anyName
	}
	return label
}
