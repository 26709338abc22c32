# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# run-trees.bash - run.sh's group 'trees': a source tree's many small files
#
# Below: lib.bash, run.sh's measure(), place(), $SYSTEMS, $ROUNDS.
#
# The tree is $TREE_COPIES times this source, as a git repository of its own.

tree_make() # TAR
{
	local dir=$HOST_TMP/tree i

	mkdir -p "$dir/tree"
	for ((i = 0; i < TREE_COPIES; i++)); do
		mkdir "$dir/tree/$i"
		git -C "$SOURCE" archive HEAD 2>/dev/null |
			tar -x -C "$dir/tree/$i" 2>/dev/null ||
			tar -c -C "$SOURCE" docs fs store tests tools |
			tar -x -C "$dir/tree/$i"
	done
	(
		cd "$dir/tree"
		export HOME=$dir GIT_CONFIG_NOSYSTEM=1
		git init -q .
		git add -A
		git -c user.name=bench -c user.email=bench@localhost \
			-c gc.auto=0 commit -q -m all
	)
	tar -c -C "$dir" -f "$1" tree
	host_say "the tree: $(find "$dir/tree" -type f | wc -l) files," \
		"$(du -sh --apparent-size "$dir/tree" | cut -f 1)"
	rm -rf "$dir"
}

tree_status()
{
	GIT_CONFIG_NOSYSTEM=1 HOME=$HOST_TMP git -c core.fsmonitor=false \
		-c safe.directory='*' -C "$1/tree" status --short
}

trees_all()
{
	local system round dir tar=$HOST_TMP/tree.tar

	tree_make "$tar"
	for system in "${SYSTEMS[@]}"; do
		place "$system" trees >/dev/null
	done
	for ((round = 0; round < ROUNDS; round++)); do
		for system in "${SYSTEMS[@]}"; do
			dir=${DIRS[$system]}/trees
			measure trees 'untar' "$system" ms milliseconds \
				tar -x --no-same-owner -C "$dir" -f "$tar"
			measure trees 'git status, the first' "$system" ms \
				milliseconds tree_status "$dir"
			measure trees 'git status, again' "$system" ms \
				milliseconds tree_status "$dir"
			drop_caches
			measure trees 'git status, cold' "$system" ms \
				milliseconds tree_status "$dir"
			measure trees 'rm -rf' "$system" ms milliseconds \
				rm -rf "$dir/tree"
		done
	done
	for system in "${SYSTEMS[@]}"; do
		place_remove "$system" trees
	done
	rm -f "$tar"
}
