"""How often each kind of drill is due when its plan does not say."""

from muster.cadence.spec import Cadence

DEFAULTS = {
    "restore": Cadence(cron="0 3 1 * *"),
    "spark": Cadence(cron="0 3 1 */3 *"),
    "failover": Cadence(cron="0 3 1 */6 *"),
    "cutover": Cadence(cron="0 3 1 1 *"),
}
"""Monthly, quarterly, half-yearly, yearly."""
