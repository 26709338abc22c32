-- SPDX-License-Identifier: Apache-2.0
--
-- statements.lua - sysbench's oltp_read_write with each statement timed
--
--   sysbench tests/bench/statements.lua --statement_log=PREFIX OPTION... run
--
-- Each thread writes PREFIX.THREAD: a line for each statement, when it began
-- and how long it took, both in microseconds.  A DELETE with its INSERT counts
-- as one.  p99.py reads them.
require("oltp_read_write")
local ffi = require("ffi")

ffi.cdef [[
struct bench_time { long sec; long nsec; };
int clock_gettime(int clock, struct bench_time *time);
]]

local SELECTS = 10  -- a transaction, as in oltp_read_write

sysbench.cmdline.options.statement_log = { "Where the times go", "" }

local time = ffi.new("struct bench_time")
local log

local function now_us()
	ffi.C.clock_gettime(0, time)
	return tonumber(time.sec) * 1000000 + tonumber(time.nsec) / 1000
end

local function timed(statement)
	return function()
		local start = now_us()

		statement()
		log:write(string.format("%d %d\n", start, now_us() - start))
	end
end

for _, name in ipairs { "begin", "commit", "execute_simple_ranges",
	"execute_sum_ranges", "execute_order_ranges",
	"execute_distinct_ranges", "execute_index_updates",
	"execute_non_index_updates", "execute_delete_inserts" } do
	_G[name] = timed(_G[name])
end

-- run with --point_selects=1
local select_one = timed(execute_point_selects)

function execute_point_selects()
	for _ = 1, SELECTS do
		select_one()
	end
end

local init, done = thread_init, thread_done

function thread_init()
	log = assert(io.open(string.format("%s.%d",
		sysbench.opt.statement_log, sysbench.tid), "w"))
	log:setvbuf("full", 65536)
	init()
end

function thread_done()
	done()
	log:close()
end
