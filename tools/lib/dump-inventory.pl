#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# dump-inventory.pl - what a dump by mysqldump or mariadb-dump says it holds
#
#   zstd -dc shop.sql.zst | dump-inventory.pl [DATABASE]
#
# Prints, sorted, 'database<TAB>kind<TAB>name<TAB>rows' for each table (with
# its number of rows), view, trigger, procedure, function and event (rows '-').
# DATABASE is what is used before the dump names one.  Reads only what these
# tools write: literals as values, newlines in strings escaped.
use strict;
use warnings;

my $db = $ARGV[0] // '';
my (%seen, %rows);
my $table;       # of the INSERT that goes on
my $name = qr/`((?:[^`]|``)+)`/;

sub found
{
	my ($kind, $what) = @_;
	$what =~ s/``/`/g;
	$seen{"$db\t$kind\t$what"} = 1;
}

# Count the tuples in a piece of an INSERT; strings may hold anything.
sub count
{
	my ($text) = @_;
	$text =~ s/'(?:[^'\\]+|\\.|'')*'//gs;
	$rows{"$db\ttable\t$table"} += ($text =~ tr/(//);
	return $text =~ /;\s*$/;
}

while (my $line = <STDIN>) {
	if (defined $table) {
		undef $table if count($line);
	} elsif ($line =~ /^(?:INSERT|REPLACE)\s+(?:IGNORE\s+)?INTO $name (?:\([^)]*\) )?VALUES(.*)/s) {
		$table = $1;
		$table =~ s/``/`/g;
		my $rest = $2;
		undef $table if count($rest);
	} elsif ($line =~ /^USE $name/) {
		$db = $1;
	} elsif ($line =~ /^CREATE TABLE (?:IF NOT EXISTS )?$name/) {
		found('table', $1);
	} elsif ($line =~ m{^/\*!50001 VIEW $name AS}) {
		found('view', $1);
	} elsif ($line =~ /^(?:\/\*!\d+ )?CREATE\b[^`]*(?:DEFINER=$name\@$name)?[^`]*?\b(TRIGGER|PROCEDURE|FUNCTION|EVENT)\s+(?:IF NOT EXISTS )?(?:$name|(\w+))/) {
		found(lc $3, $4 // $5);
	}
}
for my $key (keys %seen) {
	$rows{$key} //= $key =~ /\ttable\t/ ? 0 : '-';
}
print map { "$_\t$rows{$_}\n" } sort keys %rows;
