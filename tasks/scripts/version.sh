#!/usr/bin/env bash
# Prints the version of this source tree, acceptable as a semantic version and
# as an image tag: the tag v1.2.3, or 1.2.4-dev.5.gabc1234 five commits after
# it; counted from the first commit while nothing is tagged. ".dirty" is added
# when tracked files differ from the commit.
set -euo pipefail
# shellcheck source=tasks/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

if ! head=$(git rev-parse --short=7 HEAD 2>/dev/null); then
  echo 0.1.0-dev
  exit 0
fi
dirty=
git update-index -q --refresh >/dev/null 2>&1 || true
git diff-index --quiet HEAD -- || dirty=.dirty

if tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null); then
  count=$(git rev-list --count "$tag..HEAD")
  base=${tag#v}
  if [[ $count -eq 0 && -z $dirty ]]; then
    echo "$base"
    exit 0
  fi
  base=${base%.*}.$((${base##*.} + 1))
else
  count=$(git rev-list --count HEAD)
  base=0.1.0
fi
echo "$base-dev.$count.g$head$dirty"
