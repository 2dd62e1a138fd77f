# What only Pacemaker can answer. 102 is what its programs say when no Pacemaker runs (CRM_EX_DISCONNECT).
echo "${0##*/} $*: hamgr runs this agent, and no Pacemaker" >&2
exit 102
