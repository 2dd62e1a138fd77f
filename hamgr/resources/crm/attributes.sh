# Node attributes as files, for the stand-ins of Pacemaker's programs: one file an attribute, its value in it.
#
# HAMGR_ATTRIBUTES is where those lie that a boot forgets, HAMGR_ATTRIBUTES_FOREVER where the others do, HAMGR_NODE
# this node. Each node has its own, and knows none of the other nodes'.

me=${0##*/}
name= value= action= node= default= quiet= lifetime= set_default=false

NO_SUCH=105 # CRM_EX_NOSUCH
USAGE=64

refuse() { # CODE TEXT
	echo "$me: $2" >&2
	exit "$1"
}

argument() { # how many arguments are left, beginning with the option
	[ "$1" -ge 2 ] || refuse $USAGE "$2 needs an argument"
}

place() {
	[ -n "$name" ] || refuse $USAGE "which attribute?"
	case $name in */* | .*) refuse $USAGE "$name is no name of an attribute" ;; esac
	case $node in "" | "$HAMGR_NODE") ;; *) refuse $NO_SUCH "hamgr keeps attributes on each node, and knows none of $node" ;; esac
	[ -n "$HAMGR_ATTRIBUTES" ] || refuse 102 "only agents that hamgr runs have attributes"
	case ${lifetime:-$1} in
	forever | nodes) directory=$HAMGR_ATTRIBUTES_FOREVER scope=nodes ;;
	reboot | status) directory=$HAMGR_ATTRIBUTES scope=status ;;
	*) refuse $USAGE "hamgr keeps no attributes of type $lifetime" ;;
	esac
	file=$directory/$name
}

# The new value is there as a whole or not at all: others read while we write.
store() {
	mkdir -p "$directory" && printf '%s\n' "$value" >"$file.$$.new" && mv "$file.$$.new" "$file" ||
		refuse 1 "$name can't be kept"
}

load() {
	if [ -r "$file" ]; then
		IFS= read -r value <"$file"
	elif $set_default; then
		value=$default
	else
		refuse $NO_SUCH "there is no attribute $name"
	fi
}

forget() {
	rm -f "$file"
}
