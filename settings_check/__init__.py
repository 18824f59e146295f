"""Checks of the playbook's variables on the controller: types, rules, and the programs' own validation."""
