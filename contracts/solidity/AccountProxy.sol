// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";

/// @title The proxy in front of an owner's account
/// @notice Holds the owner's money and runs the code of an account implementation, which alone can
/// exchange it. It is initialised by the transaction that creates it, so nobody can do that first.
/// @dev OpenZeppelin's proxy as it is, compiled here, so that a program that was installed without
/// the packages can deploy an account on a chain that has the implementation.
contract AccountProxy is ERC1967Proxy {
    /// @param implementation Whose code it runs.
    /// @param initialization The call that initialises it; must not be empty.
    constructor(address implementation, bytes memory initialization)
        payable
        ERC1967Proxy(implementation, initialization)
    {}
}
