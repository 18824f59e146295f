"""What the playbook checks on the laptop before anything changes: types, rules, and the programs' own code."""
