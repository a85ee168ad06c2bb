package bootstrap

import (
	"openshell.ai/openshell/pkg/docker"
	"openshell.ai/openshell/pkg/fault"
	"openshell.ai/openshell/pkg/gateway"
)

// imageFor finds the local image for a new container over an existing state:
// the very image of gateway.json, else one of the same version. It is never one
// of another version.
func (o Observed) imageFor(have gateway.Image) (gateway.Image, error) {
	var same *docker.Image
	older := ""
	for i, img := range o.Images {
		version := img.Labels[imageVersionLabel]
		if img.ID == have.ID {
			return have, nil
		}
		if version == have.Version && (same == nil || img.CreatedAt.After(same.CreatedAt)) {
			same = &o.Images[i]
		}
		if c, ok := compareVersions(version, have.Version); ok && c < 0 {
			older = version
		}
	}
	if same != nil {
		return gateway.Image{Ref: have.Ref, ID: same.ID, Version: have.Version}, nil
	}
	if older != "" {
		return gateway.Image{}, tooOld(o.Name, older, have.Version)
	}
	return gateway.Image{}, fault.New(fault.ImageMissing, fault.ExitFailure,
		"the node image of gateway %s (%s, version %s) is not there", o.Name, have.Ref, have.Version).
		Hint("load it: `openshell gateway start %s --image-archive FILE`", o.Name).
		Hint("the state on volume %s is kept", o.Name.Resource())
}

// refuseOlder refuses an explicitly named image that is older than the state.
func (o Observed) refuseOlder(state gateway.Image) error {
	if o.Image == nil {
		return nil
	}
	named := o.Image.Labels[imageVersionLabel]
	if c, ok := compareVersions(named, state.Version); ok && c < 0 {
		return tooOld(o.Name, named, state.Version)
	}
	return nil
}

func tooOld(name gateway.Name, image, state string) error {
	return fault.New(fault.ImageTooOld, fault.ExitDecision,
		"the state of gateway %s was made by version %s, and the node image is of the older version %s", name, state, image).
		Hint("load an image of version %s: `openshell gateway start %s --image-archive FILE`", state, name)
}

// identity is what gateway.json records of an image.
func identity(ref string, img docker.Image) gateway.Image {
	return gateway.Image{Ref: ref, ID: img.ID, Version: img.Labels[imageVersionLabel]}
}

// checkImage refuses an image that is no node image.
func checkImage(ref string, img docker.Image) error {
	if img.Labels[imageLabel] != imageKind {
		return fault.New(fault.BadValue, fault.ExitUsage, "image %s is not a node image: its label %s is %q, not %q",
			ref, imageLabel, img.Labels[imageLabel], imageKind)
	}
	return nil
}
