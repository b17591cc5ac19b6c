"""Networks of containers: bridges, addresses, the firewall, published ports, and names.

Begin with :mod:`.sandbox`, which the life cycle of a container calls; :mod:`.bridge` makes the bridge and the veth
pairs, :mod:`.ipam` hands out addresses, :mod:`.portmapper` and :mod:`.firewall` write the rules, :mod:`.endpoints` and
:mod:`.resolver` serve names. :mod:`.store` keeps the networks that users create.
"""
