"""Command lines for both ring builders: scenarios, each in a folder of its own.

A line is what comes after the command's name.  `< y` answers a question, `! …` is a command of the
shell's for both folders.  `#0 why` at the end says that ours exits with 0 and not as Swift's does,
and why that is on purpose.
"""

CREATE = """
b create 4 3 1
b create 4 3 1
b
b default
b.ring.gz
b version
b create 33 3 1
b create -1 3 1
b create 4 0.5 1
b create 4 3 -1
b create x 3 1
b create 4 x 1
b create 4 3 x
b create 4 3 1.5
b create 4.0 3 1
b create 4 3
b create
b create 0 1 0
b create 4 2.5 255
b
b create 4 3 256  #2 a byte counts the hours
b create 4 300 1  #2 nobody keeps 300 copies
b create 4 3 1 extra  #2 an argument that nobody reads is a mistake
"""

NO_FILE = """
b
b search d0
b list_parts d0
b add r1z1-10.0.0.1:6200/sda 100
b set_weight d0 1
b set_region d0 1
b set_zone d0 1
b set_info d0 :1
b remove d0
b rebalance --seed 1
b dispersion
b validate
b write_ring
b set_replicas 3
b set_overload 1%
b set_min_part_hours 1
b pretend_min_part_hours_passed
b prepare_increase_partition_power
b increase_partition_power
b cancel_increase_partition_power
b finish_increase_partition_power
b version
b nothing
no/such/folder.builder create 4 3 1
no/such/folder.builder
! echo junk > junk.builder
junk.builder
junk.builder create 4 3 1
junk.builder search d0
! mkdir dir.builder
dir.builder
dir.builder create 4 3 1
"""

EMPTY = """
b create 4 3 1
b unknown
b unknown d0
b search d0
b list_parts d0
b rebalance --seed 1
b validate
b write_ring
b dispersion
b remove d0
b set_weight d0 1
b set_replicas 2
b set_replicas 0.9
b set_replicas x
b set_replicas 2.5
b set_replicas
b set_overload 10%
b set_overload 0.1
b set_overload 2
b set_overload 200%
b set_overload 0
b set_overload -1
b set_overload x
b set_overload
b set_min_part_hours 3
b set_min_part_hours x
b set_min_part_hours
b pretend_min_part_hours_passed
b prepare_increase_partition_power
b increase_partition_power
b finish_increase_partition_power
b cancel_increase_partition_power
b
b set_min_part_hours -1  #2 less than none
b set_min_part_hours 300  #2 a byte counts the hours
b set_overload nan  #2 no number
"""

ADD = """
b.builder create 4 3 1
b.builder add r1z1-10.0.0.1:6200/sda 100
b.builder add z1-10.0.0.1:6200/sdb 100
b.builder add r1z1-10.0.0.1:6200/sda 100
b.builder add r1z1-10.0.0.1:6200R10.1.0.1:6300/sdc_meta 100
b.builder add r1z1-[::1]:6200/sdd 100
b.builder add r1z1-[0:0:0:0:0:0:0:1]:6200/sdd 100
b.builder add r1z1-::2:6200/sdd 100
b.builder add r1z1-[10.0.0.2]:6200/sdd 100
b.builder add r1z1-10.0.0.1/sda 100
b.builder add r1z1-10.0.0.1:x/sda 100
b.builder add r1z1-10.0.0.1:/sda 100
b.builder add r1z1-:6200/sda 100
b.builder add r1z1-10.0.0.1:6200R/sda 100
b.builder add r1z1-10.0.0.1:6200R10.0.0.1/sda 100
b.builder add r1z1-10.0.0.1:6201/ 100
b.builder add r1z1-10.0.0.1:6201 100
b.builder add "r1z1-10.0.0.1:6201/ sda" 100
b.builder add "r1z1-10.0.0.1:6201/sda " 100
b.builder add "r1z1-10.0.0.1:6201/sd a" 100
b.builder add r1-10.0.0.1:6201/sda 100
b.builder add 10.0.0.1:6201/sda 100
b.builder add rz1-10.0.0.1:6201/sda 100
b.builder add r1z-10.0.0.1:6201/sda 100
b.builder add "" 100
b.builder add r1z1-10.0.0.999:6201/sda 100
b.builder add r1z1-10.0.0.1:6203/sda x
b.builder add r1z1-10.0.0.1:6204/sda -1
b.builder add r1z1-10.0.0.1:6206/sda
b.builder add
b.builder add r1z1-10.0.0.9:6206/sda 1 r1z1-10.0.0.9:6206/sdb
b.builder add r1z1-10.0.0.9:6206/sda 1 r1z1-10.0.0.9:6206/sdb 1.5
b.builder add r1z1-10.0.0.8:6206/sda 1 r1z1-10.0.0.8:6206/sda 1
b.builder search 10.0.0.8
b.builder add --region 1 --zone 2 --ip host.example --port 6200 --device sda --weight 100
b.builder add --region 1 --zone 2 --ip HOST.example --port 6200 --device sda --weight 100
b.builder add --region 1 --zone 2 --ip host_a --port 6200 --device sda --weight 100
b.builder add --zone 2 --ip 1.2.3.4 --port 6200 --device sda --weight 100
b.builder add --region 1 --ip 1.2.3.4 --port 6200 --device sda --weight 100
b.builder add --region 1 --zone 2 --port 6200 --device sda --weight 100
b.builder add --region 1 --zone 2 --ip 1.2.3.4 --device sda --weight 100
b.builder add --region 1 --zone 2 --ip 1.2.3.4 --port 6200 --weight 100
b.builder add --region 1 --zone 2 --ip 1.2.3.4 --port 6200 --device sda
b.builder add --region x --zone 2 --ip 1.2.3.4 --port 6200 --device sda --weight 1
b.builder add -r 1 -z 2 -i 1.2.3.5 -p 6200 -d sda -w 1 -m hello -j ::2 -q 7
b.builder add --region 1 --zone 2 r1z1-10.0.0.7:6206/sda 1
b.builder add --region 0 --zone 0 --ip 1.2.3.6 --port 6200 --device sda --weight 0
b.builder
b.builder search :6200
"""

ADD_STRICT = """
b.builder create 4 3 1
b.builder add r1z1-10.0.0.1:0/sda 100  #2 no port
b.builder add r1z1-10.0.0.1:70000/sda 100  #2 no port
b.builder add r1z1-10.0.0.1:6201/.. 100  #2 no folder
b.builder add r1z1-10.0.0.1:6202/a/b 100  #2 not one folder
b.builder add r1z1-10.0.0.1:6204/sda nan  #2 no number
b.builder add r1z1-10.0.0.1:6205/sda inf  #2 no number
b.builder add -r 1 -z 2 -i 1.2.3.999 -p 6200 -d sda -w 100  #2 a slip, not a host
b.builder add -r 1 -z 2 -i 1.2.3.4 -p 6200 -d sda -w -1  #2 less than no weight
b.builder add r1z1-host.example:6200/sda 100  #0 the help of Swift's says so too
b.builder add r1z1-Rack1:6200RRack2:6300/sda 100  #0 an R behind no port is a letter
"""

SEARCH = """
o.builder create 4 3 1
o.builder add r1z1-10.0.0.1:6200/sda_alpha 100 r1z1-10.0.0.1:6200/sdb 100
o.builder add r1z2-10.0.0.2:6200R10.1.0.2:6300/sda 100 r2z1-[::1]:6200/sda_beta 50
o.builder search d0
o.builder search d9
o.builder search r1
o.builder search r1z2
o.builder search z1
o.builder search z1-10.0.0.1
o.builder search 10.0.0.1
o.builder search :6200
o.builder search R10.1.0.2
o.builder search R:6300
o.builder search R10.1.0.2:6300
o.builder search R[::1]
o.builder search 10.0.0.2R10.1.0.2:6300
o.builder search /sda
o.builder search /sd
o.builder search /
o.builder search _alp
o.builder search _a
o.builder search _
o.builder search /sda_beta
o.builder search [::1]
o.builder search [0::1]
o.builder search [::1  #2 the bracket is open
o.builder search z1-[::1]:6200
o.builder search d
o.builder search r
o.builder search z
o.builder search :
o.builder search d0x
o.builder search dx
o.builder search
o.builder search d0 d1
o.builder search --id 0
o.builder search -u 1
o.builder search --id 0 --region 1 --zone 1 --ip 10.0.0.1 --port 6200 --device sda
o.builder search --meta alpha --weight 100 --replication-ip 10.0.0.1 --replication-port 6200
o.builder search --region 3
o.builder search --region 0
o.builder search --weight 50
o.builder search --ip 0:0::1
o.builder search --ip [::1]
o.builder search --ip nowhere.example
o.builder search --ip 300.1.1.1
o.builder search --region x
o.builder search --region 1 d0
o.builder search r1 --device sda
o.builder search --nonsense
o.builder search -r 2
o.builder search --replication-port 6300
o.builder search --port 0
o.builder search r1z1-10.0.0.1:6200R10.0.0.1:6200/sda_alpha
o.builder search 10.0.0.300
o.builder search d0r1z1-10.0.0.1:6200R10.0.0.1:6200/sda_"alpha"
o.ring.gz search d0
o.builder search ""  #2 nobody means all
o.builder search -  #2 nobody means all
o.builder search -node5
o.builder search -- -node5
o.builder search z1-R2D2
o.builder search z1-hostR
o.builder search z1-R10.0.0.1
o.builder search --yes  #2 search asks nothing
"""

SET = """
o.builder create 4 3 1
o.builder add r1z1-10.0.0.1:6200/sda_alpha 100 r1z1-10.0.0.1:6200/sdb 100
o.builder add r1z2-10.0.0.2:6200R10.1.0.2:6300/sda 100 r2z1-[::1]:6200/sda_beta 50
o.builder set_weight d0 10
o.builder set_weight d0
o.builder set_weight
o.builder set_weight d0 x
o.builder set_weight d0 -1
o.builder set_weight d9 1
o.builder set_weight r1 1
o.builder set_weight r1 1 < n
o.builder set_weight r1 1 < y
o.builder set_weight r1 2 --yes
o.builder set_weight r1 3 -y
o.builder set_weight d0 1 d1
o.builder set_weight d0 1 d1 2
o.builder set_weight --id 0 5
o.builder set_weight --id 0
o.builder set_weight --id 0 5 6
o.builder set_weight --weight 5 7
o.builder set_weight d0 0
o.builder set_weight d0 5 d9 1
o.builder search --weight 5
o.builder search r1
o.builder set_region d0 2
o.builder set_region d0 x
o.builder set_region d0
o.builder set_region r1 5
o.builder set_region --id 0 1
o.builder set_region d9 1
o.builder set_zone d0 2
o.builder set_zone d0 x
o.builder set_zone d9 2
o.builder set_zone --id 0 1
o.builder set_zone --id 0
o.builder search z1
o.builder set_info d0 10.9.0.1:6201R10.9.0.2:6202/sdx_new
o.builder search 10.9.0.1:6201R10.9.0.2:6202/sdx_new
o.builder set_info d0 _"snet: 5.6.7.8"
o.builder search _5.6
o.builder set_info d0 :7000
o.builder set_info d0 R:7001
o.builder search d0
o.builder set_info d0 nonsense
o.builder set_info d0 10.0.0.300
o.builder set_info d9 :7000
o.builder set_info d0
o.builder set_info
o.builder set_info d0 [::5]:1
o.builder set_info d0 /sdz_
o.builder set_info d0 ""
o.builder set_info d0 10.0.0.1:6200/sdb
o.builder set_info r1 :7000
o.builder set_info --id 0 --change-ip host.example --change-port 1 --change-meta m
o.builder set_info -u 0 -J ::7 -Q 2 -D sdq
o.builder search --ip host.example --device sdq
o.builder set_info --id 0
o.builder set_info --id 9 --change-port 5
o.builder set_info --change-port 5
o.builder set_info d0 --change-port 5
o.builder remove d9
o.builder remove
o.builder remove r1
o.builder remove r1 < n
o.builder remove d0
o.builder remove d0
o.builder search d0
o.builder set_weight d0 10
o.builder set_region d0 10
o.builder set_zone d0 10
o.builder set_info d0 _hello
o.builder add -r 1 -z 1 -i host.example -p 1 -d sdq -w 5
o.builder remove --id 1 d2
o.builder remove --id 1
o.builder remove d2 d3
o.builder remove d2 d3 --yes
o.builder search d2  #0 Swift's divides by the weight of all devices, 0
o.builder rebalance --seed 1
o.builder
o.builder set_info d0 host:700  #0 a host's name may be where an address may be
o.builder set_info d0 :70000  #2 no port
o.builder set_info d0 /  #2 no name
o.builder remove --yes  #2 nobody means all
"""

REBALANCE = """
object.builder create 6 3 1
object.builder add r1z1-10.0.0.1:6200/sda 100 r1z2-10.0.0.2:6200/sdb 100
object.builder rebalance --seed 1
object.builder add r1z3-10.0.0.3:6200/sdc 100
object.builder rebalance --seed 1
object.builder validate
object.builder version
object.ring.gz version
object.ring.gz
object.ring.gz search d0
object version
object
object.builder rebalance --seed 1
object.builder rebalance --seed 1 -f
object.builder pretend_min_part_hours_passed
object.builder rebalance --seed 1
object.builder rebalance --force --seed 3
object.builder rebalance 3
object.builder rebalance --seed 1 --debug -f
object.builder rebalance --seed 1 --format-version 2 -f
object.builder version
object.builder rebalance --format-version 3 -f
object.builder rebalance --nonsense
object.builder rebalance --help
object.builder dispersion
object.builder dispersion -v
object.builder dispersion r1z1
object.builder dispersion nothing
object.builder dispersion nothing -v
object.builder dispersion "("
object.builder dispersion --recalculate
object.builder list_parts d0
object.builder list_parts d0 d1
object.builder list_parts r1
object.builder list_parts d9
object.builder list_parts
object.builder list_parts --id 0
object.builder list_parts --id 0 d0
object.builder list_parts d0 x9
object.builder add r1z4-10.0.0.4:6200/sdd 100
object.builder list_parts d3
object.builder set_info d0 _hello
object.builder
object.builder write_ring
object.builder
object.builder write_ring --format-version 1
object.builder write_ring --format-version 2
object.builder write_ring --format-version 9
object.builder rebalance --seed 1
object.builder set_weight d0 0
object.builder rebalance --seed 1
object.builder pretend_min_part_hours_passed
object.builder rebalance --seed 1
object.builder remove d0
object.builder rebalance --seed 1
object.builder remove d1
object.builder rebalance --seed 1
object.builder set_replicas 2
object.builder rebalance --seed 1
object.builder validate
"""

SHORTCOMINGS = """
object.builder create 4 3 1
object.builder add r1z1-10.0.0.1:6200/sda 100 r1z1-10.0.0.1:6200/sdb 100
object.builder add r1z1-10.0.0.1:6200/sdc 300
object.builder rebalance --seed 1
object.builder add r1z1-10.0.0.1:6200/sdd 100
object.builder rebalance --seed 1
object.builder set_overload 100%
object.builder pretend_min_part_hours_passed
object.builder rebalance --seed 1
object.builder dispersion
"""

LIGHT_DEVICE = """
object.builder create 8 3 1
object.builder add r1z1-10.0.0.1:6200/sda 100 r1z2-10.0.0.2:6200/sdb 100
object.builder add r1z3-10.0.0.3:6200/sdc 100 r1z3-10.0.0.4:6200/sdc 0.1
object.builder rebalance --seed 1
object.builder dispersion
object.builder set_weight d3 1
object.builder rebalance --seed 1
object.builder dispersion -v
"""

CROWDED = """
object.builder create 8 3 0
object.builder add r1z1-10.0.0.1:6200/sda 100 r1z1-10.0.0.2:6200/sdb 100
object.builder add r1z1-10.0.0.3:6200/sdc 100 r2z3-10.0.0.4:6200/sdc 30
object.builder rebalance --seed 1
object.builder dispersion
object.builder dispersion r2
object.builder dispersion "r1$" -v
object.builder dispersion -v
"""

LAST_DEVICE = """
account.builder create 4 1 0
account.builder prepare_increase_partition_power
account.builder add r1z1-1.1.1.1:1/a 1
account.builder rebalance --seed 1
account.builder remove d0
account.builder rebalance --seed 1
account.builder add r1z1-1.1.1.1:1/a 1
account.builder add r1z1-1.1.1.1:1/b 1
account.builder rebalance --seed 1
account.builder
account.builder add r1z1-1.1.1.1:1/a 1
"""

WEIGHTLESS = """
o.builder create 4 3 1
o.builder add r1z1-10.0.0.1:6200/sda 0 r1z1-10.0.0.1:6200/sdb 0
o.builder rebalance --seed 1
o.builder
o.builder set_weight d0 1
o.builder search d0
o.builder rebalance --seed 1
o.builder set_weight d0 0
o.builder search d0  #0 Swift's divides by the weight of all devices, 0
o.builder write_ring  #2 a ring without partitions is of no use
"""

PART_POWER = """
object.builder create 6 3 1
object.builder add r1z1-10.0.0.1:6200/sda 100 r1z2-10.0.0.2:6200/sdb 100
object.builder add r1z3-10.0.0.3:6200/sdc 100 r1z1-10.0.0.1:6200/sdd 100
object.builder prepare_increase_partition_power
object.builder prepare_increase_partition_power
object.builder rebalance --seed 1
object.builder add r1z1-10.0.0.1:6200/sde 100
object.builder remove d0
object.builder set_weight d0 50
object.builder
object.builder cancel_increase_partition_power
object.builder cancel_increase_partition_power
object.builder increase_partition_power
object.builder rebalance --seed 1
object.builder finish_increase_partition_power
object.builder finish_increase_partition_power
object.builder rebalance --seed 1
object.builder prepare_increase_partition_power
object.builder write_ring
object.builder finish_increase_partition_power
object.builder increase_partition_power
object.builder increase_partition_power
object.builder prepare_increase_partition_power
object.builder
object.builder rebalance --seed 1
object.builder rebalance --seed 1 --force
object.builder cancel_increase_partition_power
object.builder finish_increase_partition_power
object.builder write_ring
object.builder validate
object.builder version
"""

WRITE_BUILDER = """
object.builder create 6 3 1
object.builder add r1z1-10.0.0.1:6200/sda 100 r1z2-10.0.0.2:6200/sdb 100
object.builder add r1z3-10.0.0.3:6200/sdc 100
object.builder rebalance --seed 1
! cp object.ring.gz copy.ring.gz
object.ring.gz write_builder
object.builder write_builder
copy.builder
copy.ring.gz write_builder x
copy.ring.gz write_builder
copy.builder
copy.builder write_builder 5
! rm copy.builder
copy.builder write_builder 7
copy.builder
copy.builder validate
copy.builder rebalance --seed 1
none.ring.gz write_builder
none.ring.gz version
! echo junk > bad.ring.gz
bad.ring.gz version
bad.ring.gz write_builder
bad.builder create 4 3 1
bad.builder
"""

FRACTION = """
object.builder create 6 2.5 0
object.builder add r1z1-10.0.0.1:6200/sda 100 r1z2-10.0.0.2:6200/sdb 100
object.builder add r1z3-10.0.0.3:6200/sdc 100
object.builder rebalance --seed 1
object.builder validate
object.builder list_parts r1
object.builder dispersion -v
object.builder set_replicas 3
object.builder validate  #2 the partitions are not what the settings say
object.builder rebalance --seed 1
object.builder validate
object.builder set_replicas 2.5
object.builder validate  #2 the partitions are not what the settings say
object.builder set_replicas 2
object.builder validate  #2 the partitions are not what the settings say
object.builder dispersion
object.builder rebalance --seed 1  #0 Swift's sees no change in fewer replicas
object.builder validate
! mkdir sub
! cp object.ring.gz sub/x.ring.gz
sub/x.ring.gz write_builder 1
sub/x.builder
"""

SCENARIOS = {
    name.lower(): text
    for name, text in list(globals().items())
    if name.isupper() and isinstance(text, str)
}
