package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
)

const barCells = 20

// Bar is "[#####               ]  25%  1.2GB of 4.8GB, 95MB/s". Without a total
// there is no bar.
func Bar(done, total int64, took time.Duration) string {
	rate := ""
	if took > 0 {
		rate = fmt.Sprintf(", %s/s", units.HumanSize(float64(done)/took.Seconds()))
	}
	if total <= 0 {
		return units.HumanSize(float64(done)) + rate
	}
	part := min(1, float64(done)/float64(total)) // a file may grow
	full := int(part * barCells)
	return fmt.Sprintf("[%s%s] %3.0f%%  %s of %s%s", strings.Repeat("#", full), strings.Repeat(" ", barCells-full), part*100,
		units.HumanSize(float64(done)), units.HumanSize(float64(total)), rate)
}
